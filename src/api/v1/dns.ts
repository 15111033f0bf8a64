/** `/v1/dns/zones`: names that the gateway answers for itself (contract §12.2). */
import { isIP } from 'node:net';
import { createRoute, z } from '@hono/zod-openapi';
import { IpAddress } from '../../packet/address.ts';
import type { V1App } from './app.ts';
import type { DnsRecord, DnsZone } from '../../network-options.ts';
import { compileRe2 } from '../../config/re2.ts';
import { sourceOf } from '../dns.ts';
import { ApiError, errorResponses } from './errors.ts';
import { jsonBody } from './json-body.ts';
import type { V1Network } from './subject.ts';

type Zones = V1Network['zones'];

const RECORDS = 4096;
/** RFC 1035 §2.3.4, as text with the final dot. */
const NAME_LIMIT = 254;
/** In front of a pattern, in the place of a name: no name has it. */
const PATTERN_MARK = '~';

const ip = z
  .string()
  .refine((text) => IpAddress.parse(text) !== undefined, {
    error: ({ input }) => `Invalid ${String(input).includes(':') ? 'IPv6' : 'IPv4'} address`,
  })
  .openapi({ description: 'An IPv4 address, or one of IPv6 where guests have that.', example: '192.168.127.9' });
const recordSchema = z
  .strictObject({
    name: z.string().max(NAME_LIMIT).optional().openapi({ description: 'Label or labels in front of the name of the zone.' }),
    regexp: z
      .string()
      .min(1)
      .max(1000)
      .optional()
      .openapi({ description: 'RE2, found anywhere in what stands in front of the name of the zone.' }),
    ip,
  })
  .refine(({ name, regexp }) => (name ?? '') !== '' || regexp !== undefined, 'a record needs a name or a regexp')
  .openapi('DnsRecord');
const contentSchema = z
  .strictObject({
    records: z.array(recordSchema).max(RECORDS).default([]).openapi({ description: 'The first that fits answers.' }),
    defaultIp: ip.optional().openapi({ description: 'Answers every name without a record; without it such names do not exist.' }),
  })
  .refine(({ records, defaultIp }) => records.length > 0 || defaultIp !== undefined, 'a zone needs a record or a default address')
  .openapi('DnsZoneContent');
const zoneSchema = z
  .object({ name: z.string().openapi({ example: 'example.internal.' }), records: z.array(recordSchema), defaultIp: ip.optional() })
  .openapi('DnsZone');
const listSchema = z.object({ zones: z.array(zoneSchema) });
const zoneParameter = z.object({
  zone: z.string().openapi({ description: 'The final dot may be left out.', example: 'example.internal.' }),
});
const recordParameters = zoneParameter.extend({
  record: z.string().openapi({ description: `Name of the record, or ${PATTERN_MARK} and its pattern; percent-encoded.`, example: 'www' }),
});
const writing = ['bad-json', 'invalid-request', 'zone-refused', 'body-too-large', 'unsupported-media-type'] as const;

const list = createRoute({
  method: 'get',
  path: '/v1/dns/zones',
  summary: 'All zones',
  responses: {
    200: {
      description: 'In the order in which they are searched: the first whose name ends the question answers.',
      content: { 'application/json': { schema: listSchema } },
    },
  },
});
const show = createRoute({
  method: 'get',
  path: '/v1/dns/zones/{zone}',
  summary: 'One zone',
  request: { params: zoneParameter },
  responses: {
    ...errorResponses('no-such-zone'),
    200: { description: 'The zone.', content: { 'application/json': { schema: zoneSchema } } },
  },
});
const put = createRoute({
  method: 'put',
  path: '/v1/dns/zones/{zone}',
  summary: 'Make a zone, or replace all of it',
  middleware: jsonBody,
  request: { params: zoneParameter, body: { required: true, content: { 'application/json': { schema: contentSchema } } } },
  responses: {
    ...errorResponses(...writing),
    200: { description: 'It was replaced; its place in the order stays.', content: { 'application/json': { schema: zoneSchema } } },
    201: { description: 'It was made.', content: { 'application/json': { schema: zoneSchema } } },
  },
});
const remove = createRoute({
  method: 'delete',
  path: '/v1/dns/zones/{zone}',
  summary: "Remove a zone: its names are asked of the host's resolvers again",
  request: { params: zoneParameter },
  responses: { ...errorResponses('zone-refused', 'no-such-zone'), 204: { description: 'It is gone.' } },
});
const listRecords = createRoute({
  method: 'get',
  path: '/v1/dns/zones/{zone}/records',
  summary: 'The records of a zone',
  request: { params: zoneParameter },
  responses: {
    ...errorResponses('no-such-zone'),
    200: { description: 'In order.', content: { 'application/json': { schema: z.object({ records: z.array(recordSchema) }) } } },
  },
});
const showRecord = createRoute({
  method: 'get',
  path: '/v1/dns/zones/{zone}/records/{record}',
  summary: 'One record',
  request: { params: recordParameters },
  responses: {
    ...errorResponses('no-such-zone', 'no-such-record'),
    200: {
      description: 'The record; the first, where there are several of the name.',
      content: { 'application/json': { schema: recordSchema } },
    },
  },
});
const putRecord = createRoute({
  method: 'put',
  path: '/v1/dns/zones/{zone}/records/{record}',
  summary: 'Make a record, in front of the others, or change its address of that version of IP',
  middleware: jsonBody,
  request: { params: recordParameters, body: { required: true, content: { 'application/json': { schema: z.strictObject({ ip }) } } } },
  responses: {
    ...errorResponses(...writing, 'no-such-zone'),
    200: { description: 'It was changed; its place stays.', content: { 'application/json': { schema: recordSchema } } },
    201: { description: 'It was made.', content: { 'application/json': { schema: recordSchema } } },
  },
});
const removeRecord = createRoute({
  method: 'delete',
  path: '/v1/dns/zones/{zone}/records/{record}',
  summary: 'Remove a record, of both versions of IP where it has both',
  request: { params: recordParameters },
  responses: {
    ...errorResponses('zone-refused', 'no-such-zone', 'no-such-record', 'zone-would-be-empty'),
    204: { description: 'It is gone.' },
  },
});

export function dnsRoutes(app: V1App, zones: Zones): void {
  app.openapi(list, (c) => c.json({ zones: zones.list().map(plainZone) }, 200));

  app.openapi(show, (c) => c.json(plainZone(findZone(zones, c.req.valid('param').zone)), 200));

  app.openapi(put, (c) => {
    const { records, defaultIp } = c.req.valid('json');
    const name = zoneName(c.req.valid('param').zone);
    const compiled = records.map((record, i) => compileRecord(record, `records.${i}`, zones.ipv6));
    const zone = { name, records: compiled, ...(defaultIp !== undefined && { defaultIP: plainIp(defaultIp, 'defaultIp', zones.ipv6) }) };
    const wasThere = zones.list().some(isCalled(name));
    replace(zones, zone);
    return wasThere ? c.json(plainZone(zone), 200) : c.json(plainZone(zone), 201);
  });

  app.openapi(remove, (c) => {
    const { name } = findZone(zones, c.req.valid('param').zone);
    refusing(() => zones.remove(name));
    return c.body(null, 204);
  });

  app.openapi(listRecords, (c) => c.json({ records: findZone(zones, c.req.valid('param').zone).records.map(plainRecord) }, 200));

  app.openapi(showRecord, (c) => {
    const { zone, record } = c.req.valid('param');
    const found = findZone(zones, zone).records.find(isRecord(record));
    if (found === undefined) throw noSuchRecord(zone, record);
    return c.json(plainRecord(found), 200);
  });

  app.openapi(putRecord, (c) => {
    const { zone: name, record: key } = c.req.valid('param');
    const zone = findZone(zones, name);
    const address = plainIp(c.req.valid('json').ip, 'ip', zones.ipv6);
    const is = isRecord(key);
    const index = zone.records.findIndex((record) => is(record) && isIP(record.ip) === isIP(address));
    if (index >= 0) {
      const changed = { ...zone.records[index]!, ip: address };
      replace(zones, { ...zone, records: zone.records.with(index, changed) });
      return c.json(plainRecord(changed), 200);
    }
    if (zone.records.length >= RECORDS) throw new ApiError('invalid-request', `zone ${zone.name} has ${RECORDS} records already`);
    const parsed = recordSchema.safeParse({
      ...(key.startsWith(PATTERN_MARK) ? { regexp: key.slice(1) } : { name: key }),
      ip: address,
    });
    if (!parsed.success) throw new ApiError('invalid-request', `record ${JSON.stringify(key)}: ${parsed.error.issues[0]!.message}`);
    const made = compileRecord(parsed.data, 'record', zones.ipv6);
    replace(zones, { ...zone, records: [made, ...zone.records] });
    return c.json(plainRecord(made), 201);
  });

  app.openapi(removeRecord, (c) => {
    const { zone: name, record } = c.req.valid('param');
    const zone = findZone(zones, name);
    const is = isRecord(record);
    const left = zone.records.filter((each) => !is(each));
    if (left.length === zone.records.length) throw noSuchRecord(name, record);
    if (left.length === 0 && zone.defaultIP === undefined) {
      throw new ApiError('zone-would-be-empty', `${JSON.stringify(record)} is all that zone ${zone.name} has`);
    }
    replace(zones, { ...zone, records: left });
    return c.body(null, 204);
  });
}

/** Fully qualified. Throws ApiError for what is no domain name, and for the root. */
function zoneName(text: string): string {
  const name = text.endsWith('.') ? text : `${text}.`;
  const labels = name.slice(0, -1).split('.');
  if (name.length <= NAME_LIMIT && labels.every((label) => /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/i.test(label))) return name;
  throw new ApiError('invalid-request', `${JSON.stringify(text)} is no domain name that can be a zone`);
}

function isCalled(name: string): (zone: DnsZone) => boolean {
  const lower = name.toLowerCase();
  return (zone) => zone.name.toLowerCase() === lower;
}

function findZone(zones: Zones, text: string): DnsZone {
  const found = zones.list().find(isCalled(text.endsWith('.') ? text : `${text}.`));
  if (found === undefined) throw new ApiError('no-such-zone', `there is no zone ${JSON.stringify(text)}`);
  return found;
}

function noSuchRecord(zone: string, record: string): ApiError {
  return new ApiError('no-such-record', `zone ${zone} has no record ${JSON.stringify(record)}`);
}

function isRecord(key: string): (record: DnsRecord) => boolean {
  if (key.startsWith(PATTERN_MARK))
    return ({ name, pattern }) => name === '' && pattern !== undefined && sourceOf(pattern) === key.slice(1);
  const lower = key.toLowerCase();
  return ({ name }) => name !== '' && name.toLowerCase() === lower;
}

function replace(zones: Zones, zone: DnsZone): void {
  refusing(() => zones.replace(zone));
}

/** What the zones themselves refuse, such as a zone that is protected. */
function refusing(change: () => unknown): void {
  try {
    change();
  } catch (error) {
    if (error instanceof Error && error.name === 'ZoneError') throw new ApiError('zone-refused', error.message);
    throw error;
  }
}

function compileRecord({ name = '', regexp, ip: text }: z.infer<typeof recordSchema>, where: string, ipv6: boolean): DnsRecord {
  const address = plainIp(text, `${where}.ip`, ipv6);
  if (regexp === undefined) return { name, ip: address };
  try {
    return { name, pattern: compileRe2(regexp), ip: address };
  } catch (error) {
    throw new ApiError('invalid-request', `${where}: ${(error as Error).message}`);
  }
}

/** As RFC 5952 writes it. Throws ApiError for an address of IPv6 where guests have none. */
function plainIp(text: string, where: string, ipv6: boolean): string {
  const address = IpAddress.parse(text);
  if (address !== undefined && (address.isIpv4 || ipv6)) return address.toString();
  throw new ApiError('invalid-request', `${where}: ${text} is of IPv6, which guests of this network don't have`);
}

function plainZone({ name, records, defaultIP }: DnsZone): z.infer<typeof zoneSchema> {
  return { name, records: records.map(plainRecord), ...(defaultIP === undefined ? {} : { defaultIp: defaultIP }) };
}

function plainRecord({ name, pattern, ip }: DnsRecord): z.infer<typeof recordSchema> {
  return { ...(name === '' ? {} : { name }), ...(pattern === undefined ? {} : { regexp: sourceOf(pattern) }), ip };
}
