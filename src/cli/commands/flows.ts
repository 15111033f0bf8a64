/** `guestwire flows`: guests' conversations, and the end of one. */
import { isIP } from 'node:net';
import { type Call, checkWords, STATUS, usageError } from './command.ts';
import { type Client, connectTo } from './client.ts';
import { type Column, printListing } from './listing.ts';

/** Most that one request gives. */
const PAGE = 1000;

export interface FlowInfo {
  readonly id: string;
  readonly protocol: string;
  readonly guest: string;
  readonly guestPort: number;
  readonly remote: string;
  readonly remotePort: number;
  readonly direction: string;
  readonly port: number;
  readonly state?: string;
  readonly idle: number | null;
}

interface Page {
  readonly flows: readonly FlowInfo[];
  readonly next: string | null;
}

export const FLOW_COLUMNS: readonly Column<FlowInfo>[] = [
  { title: 'id', of: ({ id }) => id },
  { title: 'guest', of: ({ guest, guestPort }) => endpoint(guest, guestPort) },
  { title: 'direction', of: ({ direction }) => direction, shown: ({ direction }) => (direction === 'outbound' ? '→' : '←') },
  { title: 'remote', of: ({ remote, remotePort }) => endpoint(remote, remotePort) },
  { title: 'state', of: ({ state }) => state },
  { title: 'idle', of: ({ idle }) => idle, shown: ({ idle }) => (idle === null ? '' : `${Math.floor(idle / 1000)} s`), right: true },
];

export async function flows(call: Call): Promise<number> {
  checkWords(call.words, 0, 0, 'none');
  const client = connectTo(call);
  const ended = call.options.text('kill');
  if (ended !== undefined) {
    await client.ask('DELETE', `/v1/flows/${encodeURIComponent(ended)}`);
    return STATUS.ok;
  }
  const query = new URLSearchParams({ limit: String(PAGE) });
  for (const name of ['protocol', 'guest']) {
    const value = call.options.text(name);
    if (value === undefined) continue;
    if (name === 'guest' ? isIP(value) === 0 : value !== 'tcp' && value !== 'udp')
      throw usageError(`--${name} can't be ${JSON.stringify(value)}: want ${name === 'guest' ? 'an IP address' : 'tcp or udp'}`);
    query.set(name, value);
  }
  const all = await everyFlow(client, query);
  printListing(call, { flows: all }, FLOW_COLUMNS, all);
  return STATUS.ok;
}

async function everyFlow(client: Client, query: URLSearchParams): Promise<readonly FlowInfo[]> {
  const all: FlowInfo[] = [];
  for (;;) {
    const { flows: some, next } = await client.get<Page>(`/v1/flows?${query.toString()}`);
    all.push(...some);
    if (next === null) return all;
    query.set('cursor', next);
  }
}

function endpoint(address: string, port: number): string {
  return `${address.includes(':') ? `[${address}]` : address}:${port}`;
}
