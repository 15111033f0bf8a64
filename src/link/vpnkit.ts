/**
 * HyperKit and other clients of VPNKit (contract §6.3): a handshake, then frames with 16 bits of length.
 *
 *     client                          we
 *     magic, version, commit: 49 ──►
 *                                ◄──  the same 49
 *     command, UUID: 41          ──►
 *                                ◄──  MTU, size of a frame, MAC address: 258
 *     frames                     ◄─►  frames
 *
 * Never more is read than the handshake has: what follows it at once stays in the kernel, for the port.
 */
import { EPOLLIN, EPOLLRDHUP } from '../system/constants.ts';
import { EAGAIN, EINTR, errnoText } from '../system/errno.ts';
import { addressOf, close, read, write } from '../system/syscalls.ts';
import { HEADER as ETHERNET_HEADER } from '../packet/ethernet.ts';
import { type Mac, parseMac } from '../packet/mac.ts';
import { setU16, setU32 } from '../packet/bytes.ts';
import { Timer } from '../runtime/timer-wheel.ts';
import type { TurnLoop, Watcher } from '../runtime/turn-loop.ts';
import { VPNKIT_FRAMING } from './framing.ts';
import type { LinkEnvironment } from './link.ts';
import type { Receive, Reception } from './stream-listener.ts';
import type { StreamPorts } from './stream-ports.ts';

const INIT = 49;
const COMMAND = 41;
const ANSWER = 258;
/** Where the UUID, 36 characters, stands in the command. */
const UUID = 1;
const UUID_LENGTH = 36;
/** Milliseconds that a client has for the handshake. */
const HANDSHAKE_TIMEOUT = 10_000;
const LARGEST = 0xffff;

/** What the handshake tells a client. */
export interface VpnkitOptions {
  readonly mtu: number;
  /** UUID → MAC address, as they were written; a client that is not there gets a random one. */
  readonly macs: Readonly<Record<string, string>>;
  readonly random: { word(): number };
}

export function receiveVpnkit(options: VpnkitOptions): Receive {
  return (ports, environment) => new HandshakeReception(ports, environment, options);
}

class HandshakeReception implements Reception {
  readonly #ports: StreamPorts;
  readonly #environment: LinkEnvironment;
  readonly #options: VpnkitOptions;
  readonly #handshakes: Set<Handshake> = new Set();

  constructor(ports: StreamPorts, environment: LinkEnvironment, options: VpnkitOptions) {
    this.#ports = ports;
    this.#environment = environment;
    this.#options = options;
  }

  accept(fd: number, peer: string): boolean {
    if (this.#ports.free <= this.#handshakes.size) {
      this.#ports.refused++;
      return false;
    }
    const { loop, events } = this.#environment;
    const handshake = new Handshake(fd, loop, this.#options, (fault) => {
      this.#handshakes.delete(handshake);
      if (fault === null && this.#ports.attach(fd, VPNKIT_FRAMING, peer) !== null) return;
      close(fd);
      events.refused?.(`cannot complete the handshake with ${peer}, disconnecting: ${fault ?? 'there is no room for another VM'}`);
    });
    this.#handshakes.add(handshake);
    return true;
  }

  close(): void {
    for (const handshake of this.#handshakes) handshake.end('listener closed');
  }
}

class Handshake implements Watcher {
  readonly #fd: number;
  readonly #loop: TurnLoop;
  readonly #options: VpnkitOptions;
  readonly #done: (fault: string | null) => void;
  readonly #bytes: Uint8Array = new Uint8Array(INIT + COMMAND + ANSWER);
  readonly #address: number = addressOf(this.#bytes.buffer as ArrayBuffer);
  readonly #token: number;
  readonly #late: Timer = new Timer(() => this.end(`not done after ${HANDSHAKE_TIMEOUT / 1000} s`));
  #got = 0;

  /** `done` hears once what went wrong, or null; then `fd` is the caller's. */
  constructor(fd: number, loop: TurnLoop, options: VpnkitOptions, done: (fault: string | null) => void) {
    this.#fd = fd;
    this.#loop = loop;
    this.#options = options;
    this.#done = done;
    this.#token = loop.watch(fd, EPOLLIN | EPOLLRDHUP, this);
    loop.timers.arm(this.#late, HANDSHAKE_TIMEOUT);
  }

  ready(): void {
    const wanted = this.#got < INIT ? INIT : INIT + COMMAND;
    const count = read(this.#fd, this.#address + this.#got, wanted - this.#got);
    if (count === -EAGAIN || count === -EINTR) return;
    if (count <= 0) {
      const where = `after ${this.#got} of ${INIT + COMMAND} bytes`;
      this.end(count === 0 ? `EOF ${where}` : `${errnoText(-count)} ${where}`);
      return;
    }
    this.#got += count;
    if (this.#got === INIT) this.#send(0, INIT);
    else if (this.#got === INIT + COMMAND) this.#answer();
  }

  #answer(): void {
    const { mtu } = this.#options;
    const at = INIT + COMMAND;
    const { hi, lo } = this.#mac();
    this.#bytes[at] = 1;
    this.#little(at + 1, mtu);
    this.#little(at + 3, Math.min(mtu + ETHERNET_HEADER, LARGEST));
    setU16(this.#bytes, at + 5, hi);
    setU32(this.#bytes, at + 7, lo);
    if (this.#send(at, ANSWER)) this.end(null);
  }

  #little(at: number, value: number): void {
    this.#bytes[at] = value;
    this.#bytes[at + 1] = value >>> 8;
  }

  #mac(): Mac {
    const uuid = Buffer.from(this.#bytes.buffer, INIT + UUID, UUID_LENGTH).toString('latin1');
    const { macs, random } = this.#options;
    const known = Object.hasOwn(macs, uuid) ? parseMac(macs[uuid]!) : undefined;
    // One station, locally administered.
    return known ?? { hi: ((random.word() & 0xffff) | 0x0200) & ~0x0100, lo: random.word() };
  }

  /** A new socket has room for so little. False: it has not, and the handshake is over. */
  #send(at: number, length: number): boolean {
    const count = write(this.#fd, this.#address + at, length);
    if (count === length) return true;
    this.end(count < 0 ? errnoText(-count) : `${count} of ${length} bytes written`);
    return false;
  }

  end(fault: string | null): void {
    this.#loop.timers.cancel(this.#late);
    this.#loop.unwatch(this.#token, this.#fd);
    this.#done(fault);
  }
}
