/** `guestwire leases`: which address belongs to which MAC address. */
import { type Call, checkWords, STATUS } from './command.ts';
import { connectTo } from './client.ts';
import { type Column, printListing } from './listing.ts';

export interface Lease {
  readonly address: string;
  readonly mac: string;
}

const COLUMNS: readonly Column<Lease>[] = [
  { title: 'address', of: ({ address }) => address },
  { title: 'mac', of: ({ mac }) => mac },
];

export async function leases(call: Call): Promise<number> {
  checkWords(call.words, 0, 0, 'none');
  const data = await connectTo(call).get<{ leases: Lease[] }>('/v1/leases');
  printListing(call, data, COLUMNS, data.leases);
  return STATUS.ok;
}
