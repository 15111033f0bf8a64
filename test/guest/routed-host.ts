/**
 * A host of our own making: the virtual network runs in one namespace, behind a router in another, with a peer beyond it.
 *
 *     host 10.77.1.2 ──── 10.77.1.1 router 10.77.2.1 ──── MTU 1000 ──── 10.77.2.2 peer
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execute, Running, succeed, until } from './process.ts';

const NETWORK = fileURLToPath(new URL('network-program.js', import.meta.url));
const SERVERS = fileURLToPath(new URL('servers-program.js', import.meta.url));

export type Seen = Record<string, unknown>;

export class RoutedHost {
  readonly host: string = `gwhost-${process.pid}`;
  readonly router: string = `gwrouter-${process.pid}`;
  readonly peer: string = `gwpeer-${process.pid}`;
  network!: Running;
  #taken = 0;

  static async create(): Promise<RoutedHost> {
    const it = new RoutedHost();
    mkdirSync(it.#etc, { recursive: true });
    writeFileSync(it.resolvConf, '');
    for (const name of [it.host, it.router, it.peer]) {
      await succeed('ip', ['netns', 'add', name]);
      await it.ip(name, 'link', 'set', 'lo', 'up');
    }
    await it.#link(it.host, 'up0', '10.77.1.2', it.router, 'down0', '10.77.1.1', 1500);
    await it.#link(it.router, 'up0', '10.77.2.1', it.peer, 'down0', '10.77.2.2', 1000);
    await it.ip(it.host, 'route', 'add', 'default', 'via', '10.77.1.1');
    await it.ip(it.peer, 'route', 'add', 'default', 'via', '10.77.2.1');
    await it.ip(it.router, 'route', 'add', 'unreachable', '10.77.3.0/24');
    await it.ip(it.router, 'route', 'add', 'prohibit', '10.77.4.0/24');
    await succeed('ip', ['netns', 'exec', it.router, 'sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward']);
    return it;
  }

  get #etc(): string {
    return join('/etc/netns', this.host);
  }

  /** The host's, as the namespace sees it. */
  get resolvConf(): string {
    return join(this.#etc, 'resolv.conf');
  }

  async #link(a: string, aName: string, aAddress: string, b: string, bName: string, bAddress: string, mtu: number): Promise<void> {
    await succeed('ip', [
      '-n',
      a,
      'link',
      'add',
      aName,
      'mtu',
      `${mtu}`,
      'type',
      'veth',
      'peer',
      'name',
      bName,
      'mtu',
      `${mtu}`,
      'netns',
      b,
    ]);
    await this.ip(a, 'addr', 'add', `${aAddress}/24`, 'dev', aName);
    await this.ip(b, 'addr', 'add', `${bAddress}/24`, 'dev', bName);
    await this.ip(a, 'link', 'set', aName, 'up');
    await this.ip(b, 'link', 'set', bName, 'up');
  }

  ip(namespace: string, ...args: string[]): Promise<string> {
    return succeed('ip', ['-n', namespace, ...args]);
  }

  /** Echo servers, and resolvers on these addresses. */
  async serve(namespace: string, ...resolvers: string[]): Promise<void> {
    const servers = new Running('ip', ['netns', 'exec', namespace, process.execPath, SERVERS, ...resolvers]);
    await until(() => servers.output.includes('ready'), `the servers:\n${servers.output}`);
  }

  async start(): Promise<void> {
    this.network = new Running('ip', ['netns', 'exec', this.host, process.execPath, NETWORK]);
    await this.see((seen) => seen['ready'] === true);
  }

  say(line: string): void {
    this.network.child.stdin!.write(`${line}\n`);
  }

  /** The next line that fits; those before are passed over. */
  async see(fits: (seen: Seen) => boolean, timeout = 5000): Promise<Seen> {
    let found: Seen | undefined;
    await until(
      () => {
        const lines = this.network.output.split('\n').slice(0, -1);
        while (found === undefined && this.#taken < lines.length) {
          const seen = JSON.parse(lines[this.#taken++]!) as Seen;
          if (fits(seen)) found = seen;
        }
        return found !== undefined;
      },
      `what was expected in\n${this.network.output}`,
      timeout,
    );
    return found!;
  }

  async remove(): Promise<void> {
    await this.network.kill();
    for (const name of [this.host, this.router, this.peer]) {
      const { stdout } = await execute('ip', ['netns', 'pids', name]);
      for (const pid of stdout.split('\n').filter(Boolean)) process.kill(Number(pid), 'SIGKILL');
      await execute('ip', ['netns', 'del', name]);
    }
    rmSync(this.#etc, { recursive: true, force: true });
  }
}
