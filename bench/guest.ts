/**
 * One gateway at work: its process, and a guest made of this machine's kernel.
 *
 *     network namespace ── TAP ── bridge ── unix socket, QEMU's framing ── gateway ── servers on the loopback
 */
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { Child, execute, type Finished, killChildren, succeed, until } from './children.ts';
import { type Addresses, type Family, type Gateway, onPath } from './gateways.ts';
import type { Tools } from './tools.ts';

const PREFIX = 'gwbench';
const FOLDER = join(tmpdir(), `guestwire-bench-${process.pid}-`);
const MAC = '5a:94:ef:e4:0c:ee';
/** Descriptors of a gateway: every connection wants one, and a gateway may keep some of them for other guests. */
const DESCRIPTORS = 65_536;
const PATIENCE = 10_000;

/**
 * What carries frames between TAP and socket: our bridge, which loses nothing, or QEMU's hub, which drops what the socket does not
 * take at once, as a bad link does (MTU up to 9000).
 */
export type Carrier = 'bridge' | 'qemu-hub';

/** Namespaces of comparisons that were killed. */
export async function removeLeftovers(): Promise<void> {
  const { stdout } = await execute('ip', ['-o', 'netns', 'list']);
  for (const [name, pid] of stdout.matchAll(new RegExp(`^${PREFIX}-(\\d+)`, 'gm'))) {
    if (!readdirSync('/proc').includes(pid!)) await execute('ip', ['netns', 'del', name]);
  }
}

export class Guest {
  readonly gateway: Gateway;
  readonly tools: Tools;
  readonly process: Child;
  /** Address that leads to the host's loopback. */
  readonly host: string;
  /** Port of the server that echoes. */
  readonly echoPort: number;
  readonly #folder: string;
  readonly #children: Child[];

  private constructor(gateway: Gateway, tools: Tools, folder: string, children: Child[], host: string, echoPort: number) {
    this.gateway = gateway;
    this.tools = tools;
    this.process = children[0]!;
    this.host = host;
    this.echoPort = echoPort;
    this.#folder = folder;
    this.#children = children;
  }

  /** Starts the gateway and plugs the guest in. Rejects with what they said; nothing is left then. */
  static async start(gateway: Gateway, family: Family, tools: Tools, mtu: number, carrier: Carrier): Promise<Guest> {
    const addresses = family === 6 ? gateway.ipv6 : gateway.ipv4;
    if (addresses === null) throw new Error(`${gateway.name} has no IPv6`);
    const folder = mkdtempSync(FOLDER);
    // passt runs as nobody.
    chmodSync(folder, 0o777);
    const socket = join(folder, 's');
    const shell = `ulimit -n ${DESCRIPTORS} 2>/dev/null; exec ${gateway.command(socket, mtu, family)}`;
    const process = new Child('bash', ['-c', shell]);
    const children = [process];
    try {
      if (!(await until(() => existsSync(socket), PATIENCE))) throw new Error(`${gateway.name} did not start: ${process.stderr}`);
      await succeed('ip', ['netns', 'add', NAMESPACE]);
      const bridge = new Child('ip', ['netns', 'exec', NAMESPACE, ...bridgeCommand(carrier, tools, socket)]);
      const server = new Child(tools.latency, ['server', family === 6 ? '::1' : '127.0.0.1']);
      children.push(bridge, server);
      await deviceAppears(bridge);
      await configure(addresses, mtu);
      return new Guest(gateway, tools, folder, children, addresses.host, Number(await server.printed(0, PATIENCE)));
    } catch (error) {
      await remove(children, folder);
      throw error;
    }
  }

  /** Runs a program in the guest. */
  run(command: string, args: readonly string[], timeout: number): Promise<Finished> {
    return execute('ip', ['netns', 'exec', NAMESPACE, command, ...args], timeout);
  }

  /** A program that goes on running in the guest. */
  begin(command: string, args: readonly string[]): Child {
    return new Child('ip', ['netns', 'exec', NAMESPACE, command, ...args]);
  }

  async remove(): Promise<void> {
    await remove(this.#children, this.#folder);
  }
}

const NAMESPACE = `${PREFIX}-${process.pid}`;

function bridgeCommand(carrier: Carrier, tools: Tools, socket: string): string[] {
  if (carrier === 'bridge') return [tools.bridge, 'tap0', socket];
  const program = onPath('qemu-system-x86_64') ?? onPath('qemu-system-aarch64');
  if (program === null) throw new Error('the carrier qemu-hub is QEMU: apt-get install qemu-system-x86');
  const netdevs = [
    'tap,id=t,ifname=tap0,script=no,downscript=no',
    `stream,id=s,server=off,addr.type=unix,addr.path=${socket}`,
    'hubport,id=h1,hubid=0,netdev=t',
    'hubport,id=h2,hubid=0,netdev=s',
  ];
  const quiet = ['-M', 'none', '-nographic', '-monitor', 'none', '-serial', 'none'];
  return [program, ...quiet, ...netdevs.flatMap((netdev) => ['-netdev', netdev])];
}

async function deviceAppears(bridge: Child): Promise<void> {
  const end = performance.now() + PATIENCE;
  while ((await execute('ip', ['-n', NAMESPACE, 'link', 'show', 'tap0'])).status !== 0) {
    if (performance.now() > end) throw new Error(`the carrier made no device: ${bridge.stderr}`);
    await pause(20);
  }
}

async function configure({ guest, router }: Addresses, mtu: number): Promise<void> {
  const inGuest = (...args: string[]): Promise<string> => succeed('ip', ['-n', NAMESPACE, ...args]);
  await inGuest('link', 'set', 'lo', 'up');
  // Of IPv6 no address but its link-local one and the one that it is given; both at once.
  const settings = '/proc/sys/net/ipv6/conf/tap0';
  await succeed('ip', ['netns', 'exec', NAMESPACE, 'sh', '-c', `echo 0 > ${settings}/accept_ra; echo 0 > ${settings}/accept_dad`]);
  await inGuest('link', 'set', 'tap0', 'address', MAC, 'mtu', String(mtu), 'up');
  await inGuest('addr', 'add', guest, 'dev', 'tap0');
  await inGuest('route', 'add', 'default', 'via', router, 'dev', 'tap0');
  // A device that just came up sends its IPv6 greetings first.
  await pause(300);
}

async function remove(children: readonly Child[], folder: string): Promise<void> {
  for (const child of children.toReversed()) await child.kill();
  await execute('ip', ['netns', 'del', NAMESPACE]);
  rmSync(folder, { recursive: true, force: true });
}

/** For the end of a comparison that was interrupted. */
export async function removeEverything(): Promise<void> {
  killChildren();
  await execute('ip', ['netns', 'del', NAMESPACE]);
  for (const name of readdirSync(tmpdir())) {
    const path = join(tmpdir(), name);
    if (path.startsWith(FOLDER)) rmSync(path, { recursive: true, force: true });
  }
}
