/** A network with one guest, its API on a unix socket, and clients that speak HTTP byte by byte. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import type { TestContext } from 'node:test';
import type { ForwardRegistry, ForwardSpec } from '../../src/api/forwarder.ts';
import { type ApiListener, type HostApiOptions, serveApi } from '../../src/api/serve.ts';
import { type NetworkOptions, VirtualNetwork } from '../../src/index.ts';
import { attachGuest, type SoftGuest, type SoftSocket } from '../../src/testing/index.ts';
import { temporaryFolder } from '../guest/process.ts';

const MAC = '5a:94:ef:e4:0c:ee';

/** Keeps what it is told, and refuses as the real one does. */
export class FakeForwards implements ForwardRegistry {
  readonly specs: ForwardSpec[] = [];

  list(): readonly ForwardSpec[] {
    return this.specs;
  }

  async expose(spec: ForwardSpec): Promise<void> {
    const { protocol, local, remote } = spec;
    if (this.#index(protocol, local) >= 0) throw failure('conflict', `proxy already running for ${protocol} on ${local}`);
    if (remote.startsWith('nobody:')) throw failure('remote', `address ${remote}: "nobody" is no IPv4 address of a guest`);
    if (protocol !== 'tcp' && protocol !== 'udp' && protocol !== 'unix') throw failure('unsupported', `unknown protocol ${protocol}`);
    this.specs.push(spec);
  }

  unexpose(protocol: string, local: string): void {
    const index = this.#index(protocol, local);
    if (index < 0) throw failure('not-found', 'proxy not found');
    this.specs.splice(index, 1);
  }

  #index(protocol: string, local: string): number {
    return this.specs.findIndex((spec) => spec.protocol === protocol && spec.local === local);
  }
}

function failure(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}

export interface Bench {
  readonly network: VirtualNetwork;
  readonly guest: SoftGuest;
  readonly forwards: FakeForwards;
  readonly api: ApiListener;
  readonly failures: string[];
  /** Connects to the listener. */
  readonly dial: () => Promise<Socket>;
  /** Lets the guest accept; that a connection breaks ends no test. */
  readonly listen: (port: number, accept: (socket: SoftSocket) => void) => void;
  /** What comes back for `bytes`, until the listener closes or `until` is in it. */
  readonly exchange: (bytes: string | Buffer, until?: RegExp) => Promise<string>;
  /** One request on a connection of its own. */
  readonly ask: (method: string, path: string, body?: string, headers?: Record<string, string>) => Promise<Answer>;
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Everything is closed after the test. */
export async function bench(t: TestContext, options: Partial<HostApiOptions> = {}, plan: NetworkOptions = {}): Promise<Bench> {
  const network = await VirtualNetwork.create(plan);
  t.after(() => network.close());
  const { guest } = attachGuest(network, MAC);
  await guest.dhcp();
  const forwards = new FakeForwards();
  const failures: string[] = [];
  const url = `unix://${join(temporaryFolder(), 'api.sock')}`;
  const api = await serveApi({ url, network, forwards, failed: (text) => void failures.push(text), ...options });
  t.after(() => api.close());
  const dial = (): Promise<Socket> => dialUrl(api.address);
  const exchange = async (bytes: string | Buffer, until?: RegExp): Promise<string> => {
    const socket = await dial();
    socket.write(bytes);
    return collect(socket, until);
  };
  const ask = async (method: string, path: string, body = '', headers: Record<string, string> = {}): Promise<Answer> =>
    parseAnswer(await exchange(requestText(method, path, body, { Host: 'unix', ...headers })));
  const listen = (port: number, accept: (socket: SoftSocket) => void): void =>
    guest.listen(port, (socket) => accept(socket.on('error', () => {})));
  return { network, guest, forwards, api, failures, dial, listen, exchange, ask };
}

export async function dialUrl(address: string): Promise<Socket> {
  const { protocol, hostname, port, pathname } = new URL(address);
  const options = protocol === 'unix:' ? { path: pathname } : { host: hostname.replaceAll(/[[\]]/g, ''), port: Number(port) };
  const socket = connect({ ...options, allowHalfOpen: true });
  await once(socket, 'connect');
  return socket;
}

/** The connection is to be closed behind it. */
export function requestText(method: string, path: string, body: string, headers: Record<string, string>): string {
  const lines = Object.entries({ ...headers, Connection: 'close', 'Content-Length': String(Buffer.byteLength(body)) });
  return `${method} ${path} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${body}`;
}

/** Everything until the end, or until `until` is found; then the stream is destroyed. */
export function collect(stream: Duplex, until?: RegExp): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const done = (): void => {
      resolve(text);
      stream.destroy();
    };
    stream.on('data', (chunk: Uint8Array) => {
      text += Buffer.from(chunk).toString('latin1');
      if (until?.test(text)) done();
    });
    stream.on('end', done);
    stream.on('error', reject);
  });
}

/** Chunked bodies are put together. */
export function parseAnswer(text: string): Answer {
  const [head = '', ...rest] = text.split('\r\n\r\n');
  const [line = '', ...lines] = head.split('\r\n');
  const headers = Object.fromEntries(lines.map((header) => [header.split(': ')[0]!.toLowerCase(), header.slice(header.indexOf(': ') + 2)]));
  const raw = rest.join('\r\n\r\n');
  return { status: Number(line.split(' ')[1]), headers, body: headers['transfer-encoding'] === 'chunked' ? unchunk(raw) : raw };
}

function unchunk(raw: string): string {
  const size = Number.parseInt(raw, 16);
  if (!(size > 0)) return '';
  const at = raw.indexOf('\r\n') + 2;
  return raw.slice(at, at + size) + unchunk(raw.slice(at + size + 2));
}
