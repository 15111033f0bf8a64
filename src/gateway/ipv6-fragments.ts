/** Fragments of IPv6 (RFC 8200 §4.5): what their headers say, for reassembly.ts. */
import * as ipv6 from '../packet/ipv6.ts';
import { ExtensionWalk } from '../packet/ipv6-extensions.ts';
import type { Arena } from '../runtime/arena.ts';
import type { TimerWheel } from '../runtime/timer-wheel.ts';
import type { InboundPacket } from './packet.ts';
import { Fragment, Reassembly } from './reassembly.ts';

const PAYLOAD = 65_535;
/** Bytes of the transport's header that the first piece must hold (RFC 7112): the smallest there is. */
const TRANSPORT = 8;

export class Ipv6Fragments {
  readonly reassembly: Reassembly;
  readonly #fragment: Fragment = new Fragment();
  readonly #walk: ExtensionWalk = new ExtensionWalk();

  constructor(arena: Arena, timers: TimerWheel) {
    this.reassembly = new Reassembly(arena, timers, { header: ipv6.HEADER, write: writeWhole }, PAYLOAD);
  }

  /**
   * Takes a packet whose fragment header stands at its payload. True when it is whole: its protocol is then what stands behind the
   * fragment header, at its payload. A packet that is its only fragment is whole, whatever others there are (RFC 6946, RFC 8021).
   */
  take(packet: InboundPacket): boolean {
    const { bytes } = packet;
    const header = packet.payload;
    const fragment = this.#fragment;
    fragment.start = ipv6.fragmentOffset(bytes, header);
    fragment.last = !ipv6.moreFragments(bytes, header);
    packet.fragmented = true;
    packet.protocol = bytes[header]!;
    packet.payload += ipv6.FRAGMENT_HEADER;
    if (fragment.start === 0 && fragment.last) return true;
    if (fragment.start === 0 && !this.#holdsChain(packet, header)) {
      this.reassembly.counters.malformed++;
      return false;
    }
    fragment.identification = ipv6.identification(bytes, header);
    return this.reassembly.take(packet, fragment);
  }

  /** RFC 7112: what decides about a packet is in its first piece. */
  #holdsChain(packet: InboundPacket, header: number): boolean {
    const walk = this.#walk;
    if (!walk.walk(packet.bytes, packet.payload, packet.end, header, false)) return false;
    return walk.protocol !== ipv6.FRAGMENT && packet.end - walk.payload >= TRANSPORT;
  }
}

function writeWhole(packet: InboundPacket, at: number, _identification: number, length: number): void {
  const { source0, source1, source2, source3, destination0, destination1, destination2, destination3 } = packet;
  const hops = packet.ttl;
  ipv6.write(
    packet.bytes,
    at,
    length,
    packet.protocol,
    hops,
    source0,
    source1,
    source2,
    source3,
    destination0,
    destination1,
    destination2,
    destination3,
  );
}
