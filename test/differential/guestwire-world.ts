/** guestwire as it runs in production: a whole VirtualNetwork in real time, kernel sockets on loopback behind it. */
import type { MemoryPort } from '../../src/link/memory-port.ts';
import { VirtualNetwork } from '../../src/network.ts';
import { HostApplication, type World } from './world.ts';

export class GuestwireWorld implements World {
  readonly name = 'guestwire';
  readonly application: HostApplication = new HostApplication([]);
  receive: (frame: Uint8Array) => void = () => {};
  readonly #network: VirtualNetwork;
  readonly #port: MemoryPort;
  /** Frames for which the port had no room yet. */
  readonly #waiting: Uint8Array[] = [];

  private constructor(network: VirtualNetwork) {
    this.#network = network;
    this.#port = network.attachMemory('guest', (bytes, at, length) => this.receive(bytes.slice(at, at + length)));
    this.#port.onDrain = () => this.#drained();
  }

  static async create(): Promise<GuestwireWorld> {
    return new GuestwireWorld(await VirtualNetwork.create());
  }

  send(frame: Uint8Array): void {
    if (this.#waiting.length > 0 || !this.#port.send(frame)) this.#waiting.push(frame);
  }

  #drained(): void {
    while (this.#waiting.length > 0 && this.#port.send(this.#waiting[0]!)) this.#waiting.shift();
  }

  async listen(script: string, receiveBuffer?: number): Promise<number> {
    return (await this.application.do({ does: 'listen', name: script, address: '127.0.0.1', receiveBuffer })) as number;
  }

  async connect(script: string, guestPort: number): Promise<void> {
    const { port } = this.#network.forward('127.0.0.1:0', `192.168.127.2:${guestPort}`);
    await this.application.do({ does: 'connect', name: script, address: '127.0.0.1', port });
  }

  async close(): Promise<void> {
    await this.application.close();
    await this.#network.close();
  }
}
