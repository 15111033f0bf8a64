/** `guestwire forward`: ports of the host that lead to guests. */
import { type Call, checkWords, STATUS, usageError } from './command.ts';
import { type Client, connectTo } from './client.ts';
import { parseForward, parseForwardPlace, requestOf } from './forward-words.ts';
import { type Column, printListing } from './listing.ts';
import type { Root } from './status.ts';

interface Forward {
  readonly protocol: string;
  readonly local: string;
  readonly remote: string;
  readonly boundPort?: number;
}

const COLUMNS: readonly Column<Forward>[] = [
  { title: 'protocol', of: ({ protocol }) => protocol },
  { title: 'local', of: ({ local }) => local },
  { title: 'port', of: ({ boundPort }) => boundPort, right: true },
  { title: 'remote', of: ({ remote }) => remote },
];

export async function forward(call: Call): Promise<number> {
  const [verb = 'ls', ...words] = call.words;
  const client = connectTo(call);
  if (verb === 'ls') {
    checkWords(words, 0, 0, 'none behind ls');
    print(call, await client.get<{ forwards: Forward[] }>('/v1/forwards'));
  } else if (verb === 'add') {
    checkWords(words, 1, Infinity, 'forwards, such as 8080:80');
    await add(call, client, words);
  } else if (verb === 'rm') {
    checkWords(words, 1, Infinity, 'ports of the host, such as 8080');
    await client.ask('DELETE', '/v1/forwards', words.map(parseForwardPlace));
  } else throw usageError(`there is no ${JSON.stringify(verb)}: want ls, add or rm`);
  return STATUS.ok;
}

/** Prints what was made: the port that stands for 0 is of interest. */
async function add(call: Call, client: Client, words: readonly string[]): Promise<void> {
  const wanted = words.map(parseForward);
  const { addresses } = await client.get<Root>('/v1/');
  const requests = wanted.map((each) => requestOf(each, addresses));
  print(call, (await client.ask('POST', '/v1/forwards', requests)) as { forwards: Forward[] });
}

function print(call: Call, data: { forwards: Forward[] }): void {
  printListing(call, data, COLUMNS, data.forwards);
}
