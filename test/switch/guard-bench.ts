/** A switch between ports that keep what they are sent, and frames in hex for it. */
import type { Port } from '../../src/link/port.ts';
import { parseIpv4 } from '../../src/packet/address.ts';
import { parseMac } from '../../src/packet/mac.ts';
import { VNET_HEADER } from '../../src/packet/vnet-header.ts';
import { Arena } from '../../src/runtime/arena.ts';
import { Switch, type SwitchOptions } from '../../src/switch/switch.ts';
import { FakePort, type FakePortOptions } from '../fake-port.ts';

export const GATEWAY = '5a94efe40cdd';
export const BROADCAST = 'ffffffffffff';
export const MULTICAST = '01005e0000fb';

/** VM `n`'s. */
export function mac(n: number): string {
  return `0254000000${n.toString(16).padStart(2, '0')}`;
}

/** The guest `n` of 192.168.127.0/24. */
export function address(n: number): string {
  return `c0a87f${n.toString(16).padStart(2, '0')}`;
}

export class Bench {
  readonly arena: Arena = new Arena(96 << 20);
  readonly ports: FakePort[];
  readonly switch: Switch;
  readonly told: string[] = [];
  now = 0;
  /** Frames for the gateway. */
  gateway = 0;
  readonly #at: number = this.arena.allocate(1 << 17) + VNET_HEADER;

  /** `first`: what the first VM's link can do. */
  constructor(count: number, options: Partial<SwitchOptions>, first: FakePortOptions = {}) {
    this.switch = new Switch({
      bytes: this.arena.bytes,
      gatewayMac: parseMac('5a:94:ef:e4:0c:dd')!,
      now: () => this.now,
      gateway: { input: () => void this.gateway++, endOfBatch: () => {}, drained: () => {}, detached: () => {} },
      ...options,
    });
    this.ports = Array.from({ length: count }, (_, i) => new FakePort(this.arena, i, i === 0 ? first : {}));
    for (const port of this.ports) this.switch.attached(port);
    this.switch.macs.onMoved = (entry, from) => this.told.push(`${entry.lo & 255} moved from ${from.id} to ${entry.port.id}`);
    this.switch.macs.onRefused = (entry, port: Port) => this.told.push(`${entry.lo & 255} of ${entry.port.id} refused to ${port.id}`);
  }

  /** Whether the frame went anywhere: to the gateway or a VM. `body` is in hex and begins with the ethertype; `header` is a virtio-net header. */
  send(from: number, to: string, source: string, body = '88b5', header = ''): boolean {
    this.arena.bytes.set(Buffer.from(header.padStart(VNET_HEADER * 2, '0'), 'hex'), this.#at - VNET_HEADER);
    const frame = Buffer.from(to + source + body, 'hex');
    this.arena.bytes.set(frame, this.#at);
    this.switch.frame(this.ports[from]!, this.#at, frame.length);
    return this.counts().some((count) => count > 0);
  }

  /** How many frames each port got, then the gateway. */
  counts(): number[] {
    const counts = [...this.ports.map((port) => port.take().length), this.gateway];
    this.gateway = 0;
    return counts;
  }

  lease(port: number, host: number, hardware = port): void {
    this.switch.leases!.lease(parseIpv4(`192.168.127.${host}`)!, 0x0254, hardware, this.ports[port]!);
  }
}

/** A checksum from byte `start` of the frame on that is to be written to byte `field`. */
export function openAt(start: number, field: number): string {
  const word = (value: number): string => Buffer.from([value & 255, value >> 8]).toString('hex');
  return `010000000000${word(start)}${word(field - start)}0100`;
}
