/**
 * Names that the gateway itself knows (contract §12.2, §13.6): zones in order, the first whose name ends the question wins.
 *
 * A name inside a zone never leaves for the host's resolvers (contract §19, #729). Comparison ignores case.
 */
import { IpAddress, parseIpv4 } from '../../packet/address.ts';
import { setU32 } from '../../packet/bytes.ts';
import type { DnsRecord, DnsZone, NamePattern } from '../../network-options.ts';
import { ArgumentError, checkObject } from '../../errors.ts';
import { TYPE_A, TYPE_AAAA } from './message.ts';

/** Addresses to answer with (possibly none: the name exists, not with this type), 'unknown name', or 'can't be said in time'. */
export type ZoneAnswer = readonly Uint8Array[] | 'nxdomain' | 'too slow';

/** Whether a pattern is in a name; undefined when that can't be said in time. */
export type Search = (pattern: NamePattern, name: string) => boolean | undefined;

/** Zones that the configuration may bring and nobody may change: programs in guests trust these names (contract §19, #684). */
const PROTECTED = ['containers.internal.', 'docker.internal.'];
/** Zones, and records of one zone. */
const ZONE_LIMIT = 1024;
const RECORD_LIMIT = 16_384;
/** RFC 1035 §2.3.4, as text with the final dot. */
const NAME_LIMIT = 254;

/** A zone that is refused; the message says why. */
export class ZoneError extends Error {
  override readonly name: string = 'ZoneError';
  readonly code = 'zone-refused' as const;
}

export class Zones {
  /** Whether addresses of IPv6 are answers, too. */
  readonly ipv6: boolean;
  #zones: readonly DnsZone[];
  /** In lower case. */
  readonly #protected: ReadonlySet<string>;

  constructor(zones: readonly DnsZone[], ipv6 = false) {
    this.#zones = zones;
    this.ipv6 = ipv6;
    const names = zones.map(({ name }) => name.toLowerCase());
    this.#protected = new Set(names.filter((name) => PROTECTED.includes(name)));
  }

  list(): readonly DnsZone[] {
    return this.#zones;
  }

  #index(name: string): number {
    return this.#zones.findIndex((known) => known.name.toLowerCase() === name.toLowerCase());
  }

  #checkChangeable(name: string): void {
    if (this.#protected.has(name.toLowerCase())) throw new ZoneError(`zone ${name} is protected and can't be changed`);
  }

  /** Throws ZoneError for a protected zone. False when there is none of this name. */
  remove(name: string): boolean {
    this.#checkChangeable(name);
    const index = this.#index(name);
    if (index >= 0) this.#zones = this.#zones.toSpliced(index, 1);
    return index >= 0;
  }

  /**
   * A new zone, or new records for one that exists: they go in front and replace its default address. Its place stays.
   * Throws ZoneError for a zone that is protected, answers nothing, or has no sensible name.
   */
  add(zone: DnsZone): void {
    checkZone(zone);
    this.#checkChangeable(zone.name);
    const index = this.#index(zone.name);
    if (index < 0 && this.#zones.length >= ZONE_LIMIT) throw new ZoneError(`there are ${ZONE_LIMIT} zones already`);
    const known = index < 0 ? 0 : this.#zones[index]!.records.length;
    if (known + zone.records.length > RECORD_LIMIT) throw new ZoneError(`zone ${zone.name} would have more than ${RECORD_LIMIT} records`);
    if (index < 0) {
      this.#zones = [...this.#zones, zone];
      return;
    }
    const records = [...zone.records, ...this.#zones[index]!.records];
    const { name } = this.#zones[index]!;
    const merged: DnsZone = zone.defaultIP === undefined ? { name, records } : { name, records, defaultIP: zone.defaultIP };
    this.#zones = this.#zones.with(index, merged);
  }

  /** As `add`, but nothing stays of the zone that was there before. */
  replace(zone: DnsZone): void {
    checkZone(zone);
    this.#checkChangeable(zone.name);
    const index = this.#index(zone.name);
    if (index < 0 && this.#zones.length >= ZONE_LIMIT) throw new ZoneError(`there are ${ZONE_LIMIT} zones already`);
    if (zone.records.length > RECORD_LIMIT) throw new ZoneError(`zone ${zone.name} would have more than ${RECORD_LIMIT} records`);
    this.#zones = index < 0 ? [...this.#zones, zone] : this.#zones.with(index, zone);
  }

  /** `name` without the final dot. Undefined when no zone owns it. */
  answer(name: string, type: number, search: Search): ZoneAnswer | undefined {
    const question = `${name}.`;
    for (const zone of this.#zones) {
      const suffix = `.${zone.name.toLowerCase()}`;
      if (!question.toLowerCase().endsWith(suffix)) continue;
      const found = find(zone, question.slice(0, -suffix.length), this.ipv6 ? type : undefined, search);
      if (typeof found === 'string') return found;
      return found === null || (type !== TYPE_A && !(this.ipv6 && type === TYPE_AAAA)) ? [] : [found];
    }
    return undefined;
  }
}

/** Contract §19, #684. */
function checkZone(zone: DnsZone): void {
  checkObject(zone, 'a zone');
  const { name, records, defaultIP } = zone;
  if (typeof name !== 'string') throw new ArgumentError(`name of a zone wants text, not ${String(name)}`);
  if (!Array.isArray(records)) throw new ArgumentError(`records of zone ${name} wants an array`);
  if (name === '') throw new ZoneError('zone name is missing');
  if (name === '.') throw new ZoneError('the root zone is not allowed');
  if (!name.endsWith('.')) throw new ZoneError(`zone name ${JSON.stringify(name)} is not fully qualified: it must end with a dot`);
  const labels = name.slice(0, -1).split('.');
  if (name.length > NAME_LIMIT || !labels.every((label) => /^(?:\*|[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)$/i.test(label))) {
    throw new ZoneError(`zone name ${JSON.stringify(name)} is no domain name`);
  }
  if (records.length === 0 && defaultIP === undefined) throw new ZoneError(`zone ${name} needs a record or a default IP`);
  for (const record of records) {
    checkObject(record, `a record of zone ${name}`);
    if (record.ip === '') throw new ZoneError(`record ${JSON.stringify(record.name)} of zone ${name} needs an IP`);
    if (record.name === '' && record.pattern === undefined) throw new ZoneError(`a record of zone ${name} needs a name or a regexp`);
  }
}

/** The address of the first record of this name and of the version that a type wants (undefined: there is only IPv4); null when the name has none. */
function find(zone: DnsZone, prefix: string, type: number | undefined, search: Search): Uint8Array | null | 'nxdomain' | 'too slow' {
  let known = false;
  for (const record of zone.records) {
    const found = isMatch(record, prefix, search);
    if (found === undefined) return 'too slow';
    const address = found ? toBytes(record.ip, type) : null;
    if (address !== null) return address;
    known ||= found;
  }
  if (known) return null;
  return zone.defaultIP === undefined ? 'nxdomain' : toBytes(zone.defaultIP, type);
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

/** Null when the address is of the other version. What is none of IPv4 where that is asked for is 0.0.0.0 (contract §12.2). */
function toBytes(text: string, type: number | undefined): Uint8Array | null {
  const address = type === undefined ? IpAddress.v4(parseIpv4(text) ?? 0) : IpAddress.parse(text);
  const words = address === undefined || address.isIpv4 ? [address?.w3 ?? 0] : [address.w0, address.w1, address.w2, address.w3];
  if ((words.length === 4) !== (type === TYPE_AAAA)) return null;
  const bytes = new Uint8Array(words.length * 4);
  words.forEach((word, i) => setU32(bytes, i * 4, word));
  return bytes;
}
