/** A guest that joins itself to gvproxy: a network namespace in which gvforwarder runs. */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { GVPROXY, execute, type Finished, ROOT, Running, succeed, temporaryFolder, until } from './process.ts';

const FORWARDER = join(ROOT, 'bin/gvforwarder');
const GATEWAY = '192.168.127.1';

let count = 0;

/** gvproxy with its API on a unix socket, which can be killed and started again. */
export class ConnectServer {
  readonly path: string = join(temporaryFolder(), 'api.sock');
  readonly url: string = `unix://${this.path}`;
  readonly #flags: readonly string[];
  process!: Running;

  constructor(...flags: readonly string[]) {
    this.#flags = flags;
  }

  async start(): Promise<this> {
    this.process = new Running(GVPROXY, ['-listen', this.url, '-ssh-port', '-1', ...this.#flags]);
    await until(() => existsSync(this.path), `gvproxy:\n${this.process.output}`);
    return this;
  }

  async kill(): Promise<void> {
    await this.process.kill();
    rmSync(this.path, { force: true });
  }
}

export class ForwarderNamespace {
  readonly name: string;
  readonly #folder: string;
  /** Bound over /etc/resolv.conf inside. */
  readonly resolver: string;
  forwarder: Running | undefined;

  private constructor(name: string) {
    this.name = name;
    this.#folder = join('/etc/netns', name);
    this.resolver = join(this.#folder, 'resolv.conf');
  }

  static async create(): Promise<ForwarderNamespace> {
    const namespace = new ForwarderNamespace(`gwtest-${process.pid}-9${count++}`);
    await succeed('ip', ['netns', 'add', namespace.name]);
    mkdirSync(namespace.#folder, { recursive: true });
    writeFileSync(namespace.resolver, '# before\n');
    await namespace.succeed('ip', 'link', 'set', 'lo', 'up');
    return namespace;
  }

  /** Starts gvforwarder there; `path` is its PATH. */
  start(flags: readonly string[], path = process.env['PATH'] ?? ''): Running {
    this.forwarder = new Running('ip', ['netns', 'exec', this.name, '/usr/bin/env', `PATH=${path}`, process.execPath, FORWARDER, ...flags]);
    return this.forwarder;
  }

  /** Starts gvforwarder with our own DHCP client, and waits for the address. */
  async join(url: string, ...flags: readonly string[]): Promise<Running> {
    const forwarder = this.start(['-url', url, '-dhcp', 'own', ...flags]);
    await this.online();
    return forwarder;
  }

  /** Waits until the lease is set. */
  async online(): Promise<void> {
    await until(() => this.resolverText.includes(GATEWAY), `a lease:\n${this.forwarder?.output}`);
    await this.succeed('ping', '-c', '1', '-W', '2', GATEWAY);
  }

  get resolverText(): string {
    return readFileSync(this.resolver, 'utf8');
  }

  /** Ends gvforwarder as a service manager does; resolves with its status. */
  async stop(): Promise<number | null> {
    const status = await this.forwarder!.kill('SIGTERM');
    this.forwarder = undefined;
    return status;
  }

  run(...command: string[]): Promise<Finished> {
    return execute('ip', ['netns', 'exec', this.name, ...command], 60_000);
  }

  succeed(...command: string[]): Promise<string> {
    return succeed('ip', ['netns', 'exec', this.name, ...command], 60_000);
  }

  async remove(): Promise<void> {
    await this.forwarder?.kill();
    await execute('ip', ['netns', 'del', this.name]);
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
