/** A guest made of the host's own kernel: a network namespace whose TAP device is plugged into a gvproxy. */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execute, type Finished, Running, succeed, until } from './process.ts';

const BRIDGE = fileURLToPath(new URL('tap-bridge.js', import.meta.url));
const PREFIX = 'gwtest';

let count = 0;

/** Namespaces of test processes that are no more. */
async function removeLeftovers(): Promise<void> {
  const { stdout } = await execute('ip', ['-o', 'netns', 'list']);
  for (const [name, pid] of stdout.matchAll(new RegExp(`^${PREFIX}-(\\d+)-\\d+`, 'gm'))) {
    if (!readdirSync('/proc').includes(pid!)) await execute('ip', ['netns', 'del', name]);
  }
}

export class Namespace {
  readonly name: string = `${PREFIX}-${process.pid}-${count++}`;
  readonly #bridge: Running;

  private constructor(socket: string, mac: string) {
    this.#bridge = new Running('ip', ['netns', 'exec', this.name, process.execPath, BRIDGE, 'tap0', socket, mac]);
  }

  /** A namespace plugged into the gvproxy at `socket`, without an address. Its resolver is the gateway's. */
  static async create(socket: string, mac = '5a:94:ef:e4:0c:ee'): Promise<Namespace> {
    await removeLeftovers();
    const name = `${PREFIX}-${process.pid}-${count}`;
    await succeed('ip', ['netns', 'add', name]);
    mkdirSync(join('/etc/netns', name), { recursive: true });
    writeFileSync(join('/etc/netns', name, 'resolv.conf'), 'nameserver 192.168.127.1\n');
    const namespace = new Namespace(socket, mac);
    await until(() => namespace.#bridge.output.includes('ready'), `the bridge:\n${namespace.#bridge.output}`);
    await namespace.succeed('ip', 'link', 'set', 'lo', 'up');
    // The device's queue holds 1000 frames and drops the rest, the ACKs of hundreds of connections among them.
    await namespace.succeed('ip', 'link', 'set', 'tap0', 'address', mac, 'txqueuelen', '20000', 'up');
    return namespace;
  }

  /** Gives it the address that the default MAC's lease has. */
  async configure(address = '192.168.127.2'): Promise<void> {
    await this.succeed('ip', 'addr', 'add', `${address}/24`, 'dev', 'tap0');
    await this.succeed('ip', 'route', 'add', 'default', 'via', '192.168.127.1');
  }

  run(...command: string[]): Promise<Finished> {
    return execute('ip', ['netns', 'exec', this.name, ...command], 60_000);
  }

  succeed(...command: string[]): Promise<string> {
    return succeed('ip', ['netns', 'exec', this.name, ...command], 60_000);
  }

  /** A program that goes on running inside. */
  start(...command: string[]): Running {
    return new Running('ip', ['netns', 'exec', this.name, ...command]);
  }

  async remove(): Promise<void> {
    await this.#bridge.kill();
    await execute('ip', ['netns', 'del', this.name]);
    rmSync(join('/etc/netns', this.name), { recursive: true, force: true });
  }
}
