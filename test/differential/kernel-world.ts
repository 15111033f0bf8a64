/** The Linux kernel's own TCP in a namespace of its own, behind TAP: the far end of the wire that guestwire otherwise is. */
import { createServer, type Server, type Socket } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { framed, onFrames } from '../guest/framed-stream.ts';
import { Namespace } from '../guest/namespace.ts';
import { temporaryFolder } from '../guest/process.ts';
import { HOST_MAC_TEXT } from './frame.ts';
import { HostApplication, type World } from './world.ts';

/**
 * Switched off: what guestwire leaves out on purpose and would show everywhere (timestamps, reports of duplicates; a script each
 * has them on), what repeats segments by the clock within milliseconds (tail loss probes), what answers only some of equal
 * segments, and what newer kernels alone do (SYNs at an even pace).
 */
const SYSCTL: Readonly<Record<string, string>> = {
  tcp_timestamps: '0',
  tcp_dsack: '0',
  tcp_early_retrans: '0',
  tcp_invalid_ratelimit: '0',
  tcp_syn_linear_timeouts: '0',
  tcp_congestion_control: 'reno',
};

export class KernelWorld implements World {
  readonly name = 'kernel';
  readonly application: HostApplication;
  receive: (frame: Uint8Array) => void = () => {};
  readonly #namespace: Namespace;
  readonly #server: Server;
  readonly #socket: Socket;

  private constructor(namespace: Namespace, server: Server, socket: Socket) {
    this.#namespace = namespace;
    this.#server = server;
    this.#socket = socket;
    this.application = new HostApplication(['ip', 'netns', 'exec', namespace.name]);
    onFrames(socket, (frame) => this.receive(frame));
  }

  /** `sysctl`: settings under `net.ipv4.` that differ from those above. */
  static async create(sysctl: Readonly<Record<string, string>> = {}): Promise<KernelWorld> {
    const path = join(temporaryFolder(), 'wire.sock');
    const server = createServer().listen(path);
    const connected = once(server, 'connection') as Promise<[Socket]>;
    const namespace = await Namespace.create(path, HOST_MAC_TEXT);
    const [socket] = await connected;
    const world = new KernelWorld(namespace, server, socket);
    for (const [name, value] of Object.entries({ ...SYSCTL, ...sysctl })) {
      await namespace.succeed('sh', '-c', `[ ! -e /proc/sys/net/ipv4/${name} ] || echo ${value} > /proc/sys/net/ipv4/${name}`);
    }
    await namespace.succeed('ip', 'addr', 'add', '192.168.127.254/24', 'dev', 'tap0');
    await namespace.succeed('ip', 'addr', 'add', '192.168.127.1/24', 'dev', 'tap0');
    return world;
  }

  send(frame: Uint8Array): void {
    this.#socket.write(framed(frame));
  }

  async listen(script: string, receiveBuffer?: number): Promise<number> {
    return (await this.application.do({ does: 'listen', name: script, address: '192.168.127.254', receiveBuffer })) as number;
  }

  async connect(script: string, guestPort: number): Promise<void> {
    await this.application.do({ does: 'connect', name: script, address: '192.168.127.2', port: guestPort, source: '192.168.127.1' });
  }

  async close(): Promise<void> {
    await this.application.close();
    await this.#namespace.remove();
    this.#socket.destroy();
    this.#server.close();
  }
}
