/**
 * Names that the gateway itself knows (contract §12.2, §13.6): zones in order, the first whose name ends the question wins.
 *
 * A name inside a zone never leaves for the host's resolvers (contract §19, #729). Comparison ignores case.
 */
import { parseIpv4 } from '../../packet/address.ts';
import { setU32 } from '../../packet/bytes.ts';
import type { DnsRecord, DnsZone, NamePattern } from '../../network-options.ts';
import { TYPE_A } from './message.ts';

/** Addresses to answer with (possibly none: the name exists, not with this type), 'unknown name', or 'can't be said in time'. */
export type ZoneAnswer = readonly Uint8Array[] | 'nxdomain' | 'too slow';

/** Whether a pattern is in a name; undefined when that can't be said in time. */
export type Search = (pattern: NamePattern, name: string) => boolean | undefined;

export class Zones {
  #zones: readonly DnsZone[];

  constructor(zones: readonly DnsZone[]) {
    this.#zones = zones;
  }

  list(): readonly DnsZone[] {
    return this.#zones;
  }

  /** A new zone, or new records for one that exists: they go in front and replace its default address. Its place stays. */
  add(zone: DnsZone): void {
    const index = this.#zones.findIndex((known) => known.name.toLowerCase() === zone.name.toLowerCase());
    if (index < 0) {
      this.#zones = [...this.#zones, zone];
      return;
    }
    const records = [...zone.records, ...this.#zones[index]!.records];
    const { name } = this.#zones[index]!;
    const merged: DnsZone = zone.defaultIP === undefined ? { name, records } : { name, records, defaultIP: zone.defaultIP };
    this.#zones = this.#zones.with(index, merged);
  }

  /** `name` without the final dot. Undefined when no zone owns it. */
  answer(name: string, type: number, search: Search): ZoneAnswer | undefined {
    const question = `${name}.`;
    for (const zone of this.#zones) {
      const suffix = `.${zone.name.toLowerCase()}`;
      if (!question.toLowerCase().endsWith(suffix)) continue;
      const address = find(zone, question.slice(0, -suffix.length), search);
      if (address === 'too slow') return address;
      if (address === undefined) return 'nxdomain';
      return type === TYPE_A ? [toBytes(address)] : [];
    }
    return undefined;
  }
}

function find(zone: DnsZone, prefix: string, search: Search): string | undefined {
  for (const record of zone.records) {
    const found = isMatch(record, prefix, search);
    if (found === undefined) return 'too slow';
    if (found) return record.ip;
  }
  return zone.defaultIP;
}

function isMatch(record: DnsRecord, prefix: string, search: Search): boolean | undefined {
  const lower = prefix.toLowerCase();
  if (record.name !== '' && record.name.toLowerCase() === lower) return true;
  const { pattern } = record;
  if (pattern === undefined) return false;
  // Unanchored. A pattern may be written with capitals.
  const found = search(pattern, prefix);
  return found === false && lower !== prefix ? search(pattern, lower) : found;
}

function toBytes(address: string): Uint8Array {
  const bytes = new Uint8Array(4);
  setU32(bytes, 0, parseIpv4(address) ?? 0);
  return bytes;
}
