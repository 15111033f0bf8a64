/** A real network with its API on a unix socket, and the `guestwire` command in the same process. */
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { serveApi } from '../../../src/api/serve.ts';
import { createV1 } from '../../../src/api/v1/v1.ts';
import { guestwire } from '../../../src/cli/guestwire.ts';
import { type NetworkOptions, VirtualNetwork } from '../../../src/index.ts';
import { temporaryFolder } from '../../guest/process.ts';

export interface Called {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CallOptions {
  readonly terminal?: boolean;
  readonly variables?: Readonly<Record<string, string>>;
}

export async function call(argv: readonly string[], { terminal = false, variables = {} }: CallOptions = {}): Promise<Called> {
  let [stdout, stderr] = ['', ''];
  const status = await guestwire({
    argv,
    name: 'guestwire',
    program: 'guestwire',
    stdout: (text) => void (stdout += text),
    stderr: (text) => void (stderr += text),
    stderrIsTerminal: terminal,
    stdoutIsTerminal: terminal,
    variables,
  });
  return { status, stdout, stderr };
}

export interface World {
  readonly network: VirtualNetwork;
  readonly url: string;
  /** Ends the API; the network goes on. */
  readonly close: () => Promise<void>;
  /** A command line without the program, split at spaces, about this network. */
  readonly guestwire: (line: string, options?: CallOptions) => Promise<Called>;
}

export async function createWorld(t: TestContext, options: NetworkOptions = {}): Promise<World> {
  const network = await VirtualNetwork.create(options);
  t.after(() => network.close());
  const v1 = createV1(network, network.forwards, { version: '1.2.3' });
  const listener = await serveApi({ url: `unix://${join(temporaryFolder(), 'api.sock')}`, network, forwards: network.forwards, v1 });
  t.after(() => listener.close());
  const url = listener.address;
  const run = (line: string, { terminal = false, variables = {} }: CallOptions = {}): Promise<Called> =>
    call(line.split(' '), { terminal, variables: { GUESTWIRE_SOCKET: url, ...variables } });
  return { network, url, close: () => listener.close(), guestwire: run };
}

/** Lines of tab-separated values, the headline among them. */
export function cells(text: string): string[][] {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => line.split('\t'));
}
