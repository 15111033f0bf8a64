/**
 * `ssh-over-vsock`: runs `ps` in a guest, over SSH through `/tunnel` (contract §15.4). Shows what programs do that reach a guest
 * without a forward; the host key is not checked, for the guest is whoever is behind the API.
 */
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import type { Duplex } from 'node:stream';
import type { Client, ClientChannel } from 'ssh2';
import { readFlags } from './flags.ts';
import { fileErrorText } from './go-errors.ts';
import type { FlagDefinition, FlagValues } from './go-flags.ts';
import type { Environment } from './environment.ts';
import { descriptorSink, Log } from './log.ts';
import { banner } from './version.ts';

export const SSH_OVER_VSOCK_FLAGS = {
  ip: { kind: 'string', usage: 'IP address of the virtual machine', default: '192.168.127.2' },
  port: { kind: 'int', usage: 'SSH port of the virtual machine', default: 22 },
  user: { kind: 'string', usage: 'SSH user' },
  key: { kind: 'string', usage: 'Path of the private key' },
  url: {
    kind: 'string',
    usage: 'Where gvproxy listens: a path, unix:///path, tcp://host:port or vsock://cid:port',
    default: '/tmp/network.sock',
  },
  version: { kind: 'bool', usage: 'Print version information' },
} as const satisfies Record<string, FlagDefinition>;

/** Milliseconds until the API has answered, and for the handshake. */
const TIMEOUT = 10_000;
const COMMAND = 'ps';

/** Resolves with the exit status. */
export async function sshOverVsock(environment: Environment): Promise<number> {
  const line = readFlags(environment, SSH_OVER_VSOCK_FLAGS);
  if (typeof line === 'number') return line;
  const { flags, warnings } = line;
  if (flags.version) {
    environment.stdout(`${banner(environment.name)}\n`);
    return 0;
  }
  const log = new Log(descriptorSink(2, environment.stderrIsTerminal));
  for (const warning of warnings) log.warning(warning);
  try {
    return await run(environment, flags);
  } catch (error) {
    log.record('fatal', (error as Error).message);
    return 1;
  }
}

/** The status of the command. */
async function run(environment: Environment, { ip, port, user, key, url }: FlagValues<typeof SSH_OVER_VSOCK_FLAGS>): Promise<number> {
  const [{ openTunnel }, { usableKey }, { default: ssh2 }] = await Promise.all([
    import('../api/tunnel-client.ts'),
    import('../ssh/private-key.ts'),
    import('ssh2'),
  ]);
  const privateKey = await usableKey(await readKey(key), undefined).catch((error: Error) => {
    throw new Error(`identity file ${key}: ${error.message}`, { cause: error });
  });
  const client = new ssh2.Client();
  try {
    await handshake(client, await openTunnel(url, ip, port, TIMEOUT), user, privateKey);
    return await execute(client, environment);
  } finally {
    client.destroy();
  }
}

async function readKey(path: string): Promise<string> {
  if (path === '') throw new Error('flag -key: want the path of a private key');
  return readFile(path, 'utf8').catch((error: unknown) => {
    throw new Error(`flag -key: ${fileErrorText(error)}`, { cause: error });
  });
}

async function handshake(client: Client, sock: Duplex, username: string, privateKey: string): Promise<void> {
  const closed = once(client, 'close').then(() => {
    throw new Error('EOF');
  });
  const ready = once(client, 'ready');
  client.connect({ sock, username, privateKey, readyTimeout: TIMEOUT });
  try {
    await Promise.race([ready, closed]);
  } catch (error) {
    throw new Error(`ssh: handshake failed: ${(error as Error).message}`, { cause: error });
  } finally {
    // The end is no news from here on.
    closed.catch(() => {});
    ready.catch(() => {});
  }
}

async function execute(client: Client, environment: Environment): Promise<number> {
  const channel = await new Promise<ClientChannel>((resolve, reject) => {
    client.exec(COMMAND, (error, opened) => (error === undefined ? resolve(opened) : reject(error)));
  });
  channel.on('data', (chunk: Buffer) => environment.stdout(chunk.toString()));
  channel.stderr.on('data', (chunk: Buffer) => environment.stderr(chunk.toString()));
  let status: number | null = null;
  channel.on('exit', (code: number | null) => (status = code));
  await once(channel, 'close');
  if (status === null) throw new Error(`${COMMAND} ended without a status`);
  return status === 0 ? 0 : 1;
}
