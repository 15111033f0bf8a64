/** The guest's end of the wire: answers ARP, and hands what comes for a TCP port to the conversation that has it. */
import * as arp from '../../src/packet/arp.ts';
import * as ethernet from '../../src/packet/ethernet.ts';
import { type Arrived, echoReply, echoRequest, GUEST, GUEST_MAC, readFrame } from './frame.ts';
import type { World } from './world.ts';

export class RawGuest {
  readonly world: World;
  readonly #ports: Map<number, (arrived: Arrived) => void> = new Map();
  readonly #echoes: Map<number, () => void> = new Map();
  #nextPort = 20_000;
  #nextEcho = 1;

  constructor(world: World) {
    this.world = world;
    world.receive = (frame) => this.#take(frame);
  }

  /** Takes a port of the guest. */
  open(receive: (arrived: Arrived) => void): number {
    const port = this.#nextPort++;
    this.#ports.set(port, receive);
    return port;
  }

  close(port: number): void {
    this.#ports.delete(port);
  }

  /** Resolves when everything sent so far has been on the wire and back: frames overtake no frames. */
  barrier(): Promise<void> {
    const identifier = this.#nextEcho++;
    return new Promise((resolve) => {
      this.#echoes.set(identifier, resolve);
      this.world.send(echoRequest(identifier));
    });
  }

  #take(frame: Uint8Array): void {
    if (ethernet.type(frame, 0) === ethernet.TYPE_ARP) return this.#answerArp(frame);
    const echoed = echoReply(frame);
    if (echoed !== undefined) {
      this.#echoes.get(echoed)?.();
      this.#echoes.delete(echoed);
      return;
    }
    const read = readFrame(frame);
    if (read !== undefined) this.#ports.get(read.guestPort)?.(read.arrived);
  }

  #answerArp(frame: Uint8Array): void {
    const at = ethernet.HEADER;
    if (arp.operation(frame, at) !== arp.REQUEST || arp.targetAddress(frame, at) !== GUEST) return;
    const [hi, lo] = [arp.senderMacHi(frame, at), arp.senderMacLo(frame, at)];
    const reply = new Uint8Array(ethernet.HEADER + arp.LENGTH);
    ethernet.write(reply, 0, hi, lo, GUEST_MAC.hi, GUEST_MAC.lo, ethernet.TYPE_ARP);
    arp.write(reply, at, arp.REPLY, GUEST_MAC.hi, GUEST_MAC.lo, GUEST, hi, lo, arp.senderAddress(frame, at));
    this.world.send(reply);
  }
}
