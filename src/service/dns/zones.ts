/**
 * Names that the gateway itself knows (contract §12.2, §13.6): zones in order, the first whose name ends the question wins.
 *
 * A name inside a zone never leaves for the host's resolvers (contract §19, #729). Comparison ignores case.
 */
import { parseIpv4 } from '../../packet/address.ts';
import { setU32 } from '../../packet/bytes.ts';
import type { DnsRecord, DnsZone } from '../../network-options.ts';
import { TYPE_A } from './message.ts';

/** Addresses to answer with (possibly none: the name exists, not with this type), or 'unknown name'. */
export type ZoneAnswer = readonly Uint8Array[] | 'nxdomain';

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
  answer(name: string, type: number): ZoneAnswer | undefined {
    const question = `${name}.`;
    for (const zone of this.#zones) {
      const suffix = `.${zone.name.toLowerCase()}`;
      if (!question.toLowerCase().endsWith(suffix)) continue;
      const address = find(zone, question.slice(0, -suffix.length));
      if (address === undefined) return 'nxdomain';
      return type === TYPE_A ? [toBytes(address)] : [];
    }
    return undefined;
  }
}

function find(zone: DnsZone, prefix: string): string | undefined {
  const record = zone.records.find((candidate) => isMatch(candidate, prefix));
  return record?.ip ?? zone.defaultIP;
}

function isMatch(record: DnsRecord, prefix: string): boolean {
  if (record.name !== '' && record.name.toLowerCase() === prefix.toLowerCase()) return true;
  // Unanchored; `search` ignores where a global pattern stopped last time. A pattern may be written with capitals.
  const { pattern } = record;
  return pattern !== undefined && (prefix.search(pattern) >= 0 || prefix.toLowerCase().search(pattern) >= 0);
}

function toBytes(address: string): Uint8Array {
  const bytes = new Uint8Array(4);
  setU32(bytes, 0, parseIpv4(address) ?? 0);
  return bytes;
}
