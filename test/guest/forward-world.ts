/**
 * Forwards between three kernels: clients in one namespace, the virtual network in another, its guest in a third.
 *
 *     client 10.77.1.2 ──── 10.77.1.1 host ──── 192.168.127.2 guest
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Namespace } from './namespace.ts';
import { execute, Running, succeed, temporaryFolder, until } from './process.ts';

const PROGRAM = fileURLToPath(new URL('forward-program.js', import.meta.url));
/** For the network's program: so few that taking all of them is quick. */
const DESCRIPTORS = 8192;

interface Answer {
  readonly port?: number;
  readonly error?: string;
  readonly descriptors?: number;
}

export class ForwardWorld {
  readonly folder: string = temporaryFolder();
  readonly host: string = `gwfhost-${process.pid}`;
  readonly client: string = `gwfclient-${process.pid}`;
  guest!: Namespace;
  #network!: Running;
  #answers = 1;

  static async create(): Promise<ForwardWorld> {
    const it = new ForwardWorld();
    for (const name of [it.host, it.client]) {
      await succeed('ip', ['netns', 'add', name]);
      await succeed('ip', ['-n', name, 'link', 'set', 'lo', 'up']);
    }
    await succeed('ip', ['-n', it.host, 'link', 'add', 'down0', 'type', 'veth', 'peer', 'name', 'up0', 'netns', it.client]);
    for (const [name, link, address] of [
      [it.host, 'down0', '10.77.1.1/24'],
      [it.client, 'up0', '10.77.1.2/24'],
    ] as const) {
      await succeed('ip', ['-n', name, 'addr', 'add', address, 'dev', link]);
      await succeed('ip', ['-n', name, 'link', 'set', link, 'up']);
    }
    const socket = join(it.folder, 'vm.sock');
    const limited = `ulimit -n ${DESCRIPTORS}; exec "$@"`;
    it.#network = new Running('ip', ['netns', 'exec', it.host, 'sh', '-c', limited, 'sh', process.execPath, PROGRAM, socket]);
    await until(() => it.#network.output.includes('ready'), `the network:\n${it.#network.output}`);
    it.guest = await Namespace.create(socket);
    await it.guest.configure();
    return it;
  }

  /** One at a time. Rejects with the answer's error. */
  async ask(command: object, timeout = 20_000): Promise<Answer> {
    const nth = this.#answers++;
    this.#network.child.stdin!.write(`${JSON.stringify(command)}\n`);
    const lines = (): string[] => this.#network.output.split('\n').slice(0, -1);
    await until(() => lines().length > nth, `an answer to ${JSON.stringify(command)}:\n${this.#network.output}`, timeout);
    const answer = JSON.parse(lines()[nth]!) as Answer;
    if (answer.error !== undefined) throw new Error(answer.error);
    return answer;
  }

  /** Exposes `local`, and tells its port. */
  async expose(protocol: string, local: string, remote: string): Promise<number> {
    return (await this.ask({ expose: { protocol, local, remote } })).port ?? 0;
  }

  /** A server of the guest that prints `ready` once it listens. */
  async serve(script: string, ...args: string[]): Promise<Running> {
    const server = this.guest.start('python3', '-u', '-c', script, ...args);
    await until(() => server.output.includes('ready'), `the guest's server:\n${server.output}`);
    return server;
  }

  /** What a client's script prints. */
  async python(namespace: string, script: string, ...args: string[]): Promise<string> {
    return (await succeed('ip', ['netns', 'exec', namespace, 'python3', '-c', script, ...args], 40_000)).trim();
  }

  async remove(): Promise<void> {
    await this.guest.remove();
    await this.#network.kill();
    for (const name of [this.host, this.client]) await execute('ip', ['netns', 'del', name]);
  }
}
