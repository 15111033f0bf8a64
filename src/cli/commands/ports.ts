/** `guestwire ports`: VMs that are attached. */
import { type Call, checkWords, STATUS } from './command.ts';
import { connectTo } from './client.ts';
import type { Lease } from './leases.ts';
import { bytesText, type Column, printListing } from './listing.ts';

export interface PortInfo {
  readonly id: number;
  readonly name: string;
  readonly link: string;
  readonly macs: readonly string[];
  readonly leases: readonly Lease[];
  readonly counters: {
    readonly rxFrames: number;
    readonly rxBytes: number;
    readonly rxDropped: number;
    readonly txFrames: number;
    readonly txBytes: number;
    readonly txDropped: number;
  };
}

const COLUMNS: readonly Column<PortInfo>[] = [
  { title: 'id', of: ({ id }) => id, right: true },
  { title: 'name', of: ({ name }) => name },
  { title: 'link', of: ({ link }) => link },
  { title: 'mac', of: ({ macs }) => macs.join(',') },
  { title: 'address', of: ({ leases }) => leases.map(({ address }) => address).join(',') },
  { title: 'rx', of: ({ counters }) => counters.rxBytes, shown: ({ counters }) => bytesText(counters.rxBytes), right: true },
  { title: 'tx', of: ({ counters }) => counters.txBytes, shown: ({ counters }) => bytesText(counters.txBytes), right: true },
  { title: 'dropped', of: ({ counters }) => counters.rxDropped + counters.txDropped, right: true },
];

export async function ports(call: Call): Promise<number> {
  checkWords(call.words, 0, 0, 'none');
  const data = await connectTo(call).get<{ ports: PortInfo[] }>('/v1/ports');
  printListing(call, data, COLUMNS, data.ports);
  return STATUS.ok;
}
