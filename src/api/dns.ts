/** `/services/dns/…`: the gateway's own names (contract §13.5, §13.6). */
import { isIP } from 'node:net';
import { IpAddress } from '../packet/address.ts';
import { compileRe2 } from '../config/re2.ts';
import type { DnsRecord, DnsZone, NamePattern } from '../network-options.ts';
import { ZoneError, type Zones } from '../service/dns/zones.ts';
import { RequestError } from './forwarder.ts';
import { decode, listOf, TEXT, textOf } from './go-decode.ts';
import { parseFirstValue } from './go-json.ts';

/** Characters of an expression: compiling takes time that grows with the square of them, seconds for half a million. */
const REGEXP = 1024;

/** Null when there are none, as Go writes a slice that was never made. */
export function listZones(zones: readonly DnsZone[]): unknown {
  if (zones.length === 0) return null;
  return zones.map(({ name, records, defaultIP }) => ({
    Name: name,
    Records: records.length === 0 ? null : records.map(record),
    DefaultIP: defaultIP ?? '',
  }));
}

function record({ name, ip, pattern }: DnsRecord): unknown {
  return { Name: name, IP: ip, ...(pattern === undefined ? {} : { Regexp: sourceOf(pattern) }) };
}

/** A pattern as it was given. */
export function sourceOf(pattern: NamePattern): string {
  // A RegExp escapes slashes in its source; Go's expressions don't.
  const { source } = pattern;
  return pattern instanceof RegExp ? source.replaceAll('\\/', '/') : source;
}

interface ZoneRequest {
  readonly Name: string;
  readonly Records: readonly RecordRequest[];
  readonly DefaultIP: string;
}

interface RecordRequest {
  readonly Name: string;
  readonly IP: string;
  readonly Regexp: NamePattern | undefined;
}

/** Throws JsonError or RequestError. */
export function addZone(zones: Zones, body: string): void {
  const ip = textOf('net.IP', '', (text) => parseIp(text, zones.ipv6));
  const request = decode<ZoneRequest>(parseFirstValue(body), 'types.Zone', {
    Name: TEXT,
    Records: listOf<RecordRequest>('types.Record', {
      Name: TEXT,
      IP: ip,
      Regexp: textOf<NamePattern | undefined>('regexp.Regexp', undefined, compiled),
    }),
    DefaultIP: ip,
  });
  const records = request.Records.map(({ Name, IP, Regexp }) => ({
    name: Name,
    ip: IP,
    ...(Regexp === undefined ? {} : { pattern: Regexp }),
  }));
  try {
    zones.add({ name: request.Name, records, ...(request.DefaultIP === '' ? {} : { defaultIP: request.DefaultIP }) });
  } catch (error) {
    if (error instanceof ZoneError) throw new RequestError(400, error.message);
    throw error;
  }
}

/** Empty for none. An IPv4 address may be written as IPv6 does, `::ffff:192.0.2.1`; one of IPv6 must be what guests have. */
function parseIp(text: string, ipv6: boolean): string {
  if (text === '') return text;
  const address = IpAddress.parse(text);
  if (address !== undefined && (address.isIpv4 || ipv6)) return address.toString();
  throw new RequestError(400, `invalid IP address: ${text}${isIP(text) === 6 ? ' (only IPv4 addresses can be answered with)' : ''}`);
}

function compiled(text: string): NamePattern {
  if (text.length > REGEXP) throw new RequestError(400, `error parsing regexp: expression too long: the limit is ${REGEXP} characters`);
  try {
    return compileRe2(text);
  } catch (error) {
    const { message } = error as Error;
    throw new RequestError(400, message.startsWith('error parsing regexp') ? message : `error parsing regexp: ${message}`);
  }
}
