/** `guestwire counters`: every counter by its path, such as `tcp.dropMalformed`. */
import { type Call, checkWords, CommandError, STATUS } from './command.ts';
import { connectTo } from './client.ts';
import { type Column, printListing } from './listing.ts';
import type { Totals } from './status.ts';

interface Counter {
  readonly name: string;
  readonly value: number;
}

const COLUMNS: readonly Column<Counter>[] = [
  { title: 'counter', of: ({ name }) => name },
  { title: 'value', of: ({ value }) => value, right: true },
];

export async function counters(call: Call): Promise<number> {
  checkWords(call.words, 0, 1, 'a prefix of names, or none');
  const [prefix = ''] = call.words;
  const data = await connectTo(call).get<Totals>('/v1/counters');
  const named = flatten(data.counters, '').filter(({ name }) => name.startsWith(prefix));
  if (named.length === 0) throw new CommandError(`no counter begins with ${JSON.stringify(prefix)} (guestwire counters --all lists them)`);
  const rows = named.filter(({ value }) => value !== 0 || call.options.flag('all'));
  printListing(call, Object.fromEntries(rows.map(({ name, value }) => [name, value])), COLUMNS, rows);
  return STATUS.ok;
}

function flatten(tree: object, prefix: string): Counter[] {
  return Object.entries(tree).flatMap(([name, value]: [string, unknown]) => {
    if (typeof value === 'number') return [{ name: prefix + name, value }];
    return typeof value === 'object' && value !== null ? flatten(value, `${prefix}${name}.`) : [];
  });
}
