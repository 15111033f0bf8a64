/** What an IPv6 packet for a VM must be (see judge.ts). Throws Verdict. */
import { IpAddress } from '../../src/packet/address.ts';
import { u32 } from '../../src/packet/bytes.ts';
import * as icmp from '../../src/packet/icmpv6.ts';
import * as ipv6 from '../../src/packet/ipv6.ts';
import * as ndp from '../../src/packet/ndp.ts';
import { Fragments, type Packet, Verdict } from './verdict.ts';

const DISCOVERY_HOPS = 255;

/** Reads the packets of one VM. */
export class Reader6 {
  readonly #mtu: number;
  readonly #fragments: Fragments = new Fragments();

  constructor(mtu: number) {
    this.#mtu = mtu;
  }

  /** The packet, once it is whole. */
  read(packet: Uint8Array): Packet | null {
    const { length } = packet;
    if (length < ipv6.HEADER || u32(packet, 0) !== 0x60000000) throw new Verdict('malformed IPv6 header');
    if (length > this.#mtu) throw new Verdict(`a packet of ${length} bytes, MTU ${this.#mtu}`);
    const said = ipv6.HEADER + ipv6.payloadLength(packet, 0);
    if (said !== length) throw new Verdict(`a packet of ${length} bytes says ${said}`);
    const whole = this.#whole(packet);
    if (whole === null) return null;
    judgeAddresses(whole);
    const isDiscovery = whole.protocol === ipv6.PROTOCOL_ICMPV6 && whole.payload[0]! >= ndp.ROUTER_SOLICITATION;
    const hops = ipv6.hopLimit(packet, 0);
    if (hops !== (isDiscovery ? DISCOVERY_HOPS : 64)) throw new Verdict(`${hops} hops`);
    return whole;
  }

  #whole(packet: Uint8Array): Packet | null {
    const address = (word: typeof ipv6.source): IpAddress => new IpAddress(...([0, 1, 2, 3].map((i) => word(packet, 0, i)) as Words));
    const addresses = { source: address(ipv6.source), destination: address(ipv6.destination) };
    const payload = packet.subarray(ipv6.HEADER);
    const protocol = ipv6.nextHeader(packet, 0);
    if (protocol !== ipv6.FRAGMENT) return { ...addresses, protocol, payload };
    if (payload.length < ipv6.FRAGMENT_HEADER || payload[1] !== 0 || (payload[3]! & 6) !== 0)
      throw new Verdict('malformed fragment header');
    const [offset, more] = [ipv6.fragmentOffset(payload, 0), ipv6.moreFragments(payload, 0)];
    if (offset === 0 && !more) throw new Verdict('a fragment that is the whole');
    const key = `${ipv6.identification(payload, 0)},${addresses.source.toString()},${addresses.destination.toString()}`;
    const together = this.#fragments.take(key, payload.subarray(ipv6.FRAGMENT_HEADER), offset, more);
    if (together === null) return null;
    if (together.length > 65_535) throw new Verdict('a payload of more than 64 KiB');
    return { ...addresses, protocol: payload[0]!, payload: together };
  }
}

type Words = [number, number, number, number];

function judgeAddresses({ source, destination }: Packet): void {
  const { w0, w1, w2 } = source;
  if (ipv6.isMulticast(w0) || ipv6.isReserved(w0, w1, w2)) throw new Verdict(`source ${source.toString()}`);
  if (ipv6.isReserved(destination.w0, destination.w1, destination.w2)) throw new Verdict(`destination ${destination.toString()}`);
}

/** Types, lengths and options; the checksum was judged before. */
export function judgeIcmp6({ payload, source, destination }: Packet): void {
  if (payload.length < icmp.HEADER) throw new Verdict('malformed ICMPv6');
  const type = payload[0]!;
  if (type >= icmp.UNREACHABLE && type <= icmp.PARAMETER_PROBLEM) return judgeError(payload.subarray(icmp.HEADER));
  const smallest = { [ndp.ROUTER_ADVERTISEMENT]: 16, [ndp.NEIGHBOUR_SOLICITATION]: 24, [ndp.NEIGHBOUR_ADVERTISEMENT]: 24 }[type];
  if (smallest === undefined) throw new Verdict(`ICMPv6 type ${type}`);
  if (payload.length < smallest || payload[1] !== 0) throw new Verdict('malformed neighbour discovery');
  if (ndp.options(payload, smallest, payload.length) < 0) throw new Verdict('malformed options of neighbour discovery');
  if (type === ndp.ROUTER_ADVERTISEMENT && !ipv6.isLinkLocal(source.w0)) throw new Verdict(`a router at ${source.toString()}`);
  const solicited = type === ndp.NEIGHBOUR_ADVERTISEMENT && (payload[4]! & 0x40) !== 0;
  if (solicited && ipv6.isMulticast(destination.w0)) throw new Verdict('a solicited advertisement to a group');
}

/** Quoted bytes are the guest's own. */
function judgeError(quoted: Uint8Array): void {
  if (quoted.length < ipv6.HEADER || quoted.length > ipv6.MINIMUM_MTU - ipv6.HEADER - icmp.HEADER)
    throw new Verdict(`an error that quotes ${quoted.length} bytes`);
  if (quoted[0]! >>> 4 !== 6) throw new Verdict('an error about no packet of IPv6');
}
