/** `guestwire dns`: names that the gateway answers for itself. */
import { isIP } from 'node:net';
import { ApiFailure, type Client, connectTo } from './client.ts';
import { type Call, checkWords, CommandError, STATUS, usageError } from './command.ts';
import { type Column, printListing } from './listing.ts';

interface DnsRecord {
  readonly name?: string;
  readonly regexp?: string;
  readonly ip: string;
}

interface Zone {
  readonly name: string;
  readonly records: readonly DnsRecord[];
  readonly defaultIp?: string;
}

interface Row {
  readonly zone: string;
  /** `*`: every other name of the zone. */
  readonly name: string;
  readonly address: string;
}

/** A name as the API has it: a record in a zone. */
interface Place {
  readonly zone: string;
  readonly record: string;
  readonly exists: boolean;
}

const COLUMNS: readonly Column<Row>[] = [
  { title: 'zone', of: ({ zone }) => zone },
  { title: 'name', of: ({ name }) => name },
  { title: 'address', of: ({ address }) => address },
];

export async function dns(call: Call): Promise<number> {
  const [verb = 'ls', ...words] = call.words;
  const client = connectTo(call);
  if (verb === 'ls') {
    checkWords(words, 0, 0, 'none behind ls');
    const data = await client.get<{ zones: Zone[] }>('/v1/dns/zones');
    printListing(call, data, COLUMNS, data.zones.flatMap(rowsOf));
  } else if (verb === 'add') {
    checkWords(words, 2, 2, 'a name and an IP address');
    if (isIP(words[1]!) === 0) throw usageError(`${JSON.stringify(words[1])} is no IP address`);
    await add(client, await placeOf(call, client, words[0]!), words[1]!);
  } else if (verb === 'rm') {
    checkWords(words, 1, 1, 'a name');
    await remove(client, await placeOf(call, client, words[0]!), words[0]!);
  } else throw usageError(`there is no ${JSON.stringify(verb)}: want ls, add or rm`);
  return STATUS.ok;
}

function rowsOf({ name: zone, records, defaultIp }: Zone): Row[] {
  const named = records.map(({ name, regexp, ip }) => ({ zone, name: name ?? `~${regexp}`, address: ip }));
  return defaultIp === undefined ? named : [...named, { zone, name: '*', address: defaultIp }];
}

async function placeOf({ options }: Call, client: Client, text: string): Promise<Place> {
  const { zones } = await client.get<{ zones: Zone[] }>('/v1/dns/zones');
  const name = withoutDot(text);
  const known = zones.map((zone) => withoutDot(zone.name)).filter((zone) => zone !== '');
  const given = options.text('zone');
  const zone = given === undefined ? (longestOf(known, name) ?? behindFirstDot(name, text)) : withoutDot(given);
  const record = name.endsWith(`.${zone}`) ? name.slice(0, -zone.length - 1) : name;
  // As its zones' own addresses are set only whole, by the configuration or the API.
  if (record === '' || record === zone)
    throw usageError(`${JSON.stringify(text)} is a zone itself: want a name in it, such as www.${zone}`);
  return { zone, record, exists: known.includes(zone) };
}

function withoutDot(text: string): string {
  return text.replace(/\.$/, '').toLowerCase();
}

function longestOf(zones: readonly string[], name: string): string | undefined {
  return zones.filter((zone) => name === zone || name.endsWith(`.${zone}`)).toSorted((a, b) => b.length - a.length)[0];
}

function behindFirstDot(name: string, text: string): string {
  const zone = name.slice(name.indexOf('.') + 1);
  if (!name.includes('.') || zone === '')
    throw usageError(`${JSON.stringify(text)} is in no zone: write it whole, such as db.test, or add --zone ZONE`);
  return zone;
}

async function add(client: Client, { zone, record, exists }: Place, ip: string): Promise<void> {
  if (exists) await client.ask('PUT', `${zonePath(zone)}/records/${encodeURIComponent(record)}`, { ip });
  else await client.ask('PUT', zonePath(zone), { records: [{ name: record, ip }] });
}

async function remove(client: Client, { zone, record, exists }: Place, name: string): Promise<void> {
  if (!exists) throw new CommandError(`there is no name ${JSON.stringify(name)} (guestwire dns ls lists them)`);
  try {
    await client.ask('DELETE', `${zonePath(zone)}/records/${encodeURIComponent(record)}`);
  } catch (error) {
    if (!(error instanceof ApiFailure) || error.code !== 'zone-would-be-empty') throw error;
    await client.ask('DELETE', zonePath(zone));
  }
}

function zonePath(zone: string): string {
  return `/v1/dns/zones/${encodeURIComponent(zone)}`;
}
