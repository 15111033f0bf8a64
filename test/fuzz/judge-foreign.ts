/** What VMs must not hear of each other: anything where they are apart, and where they are guarded nothing that pretends to be another. Throws Verdict. */
import * as arp from '../../src/packet/arp.ts';
import { IpAddress } from '../../src/packet/address.ts';
import { i32, u16 } from '../../src/packet/bytes.ts';
import * as ethernet from '../../src/packet/ethernet.ts';
import * as ipv4 from '../../src/packet/ipv4.ts';
import * as ipv6 from '../../src/packet/ipv6.ts';
import { ExtensionWalk } from '../../src/packet/ipv6-extensions.ts';
import * as ndp from '../../src/packet/ndp.ts';
import { GATEWAY6, HOST6, linkLocalOf } from './addresses6.ts';
import { Verdict } from './verdict.ts';
import { GATEWAY, GATEWAY_MAC, HOST_ADDRESS, SUBNET } from './world.ts';

const VLAN = [0x8100, 0x88a8];
/** Ports of DHCP: of each version what servers send from, and what clients listen on. */
const SERVERS = [67, 547];
const CLIENTS = [68, 546];
const GATEWAY_LINK = linkLocalOf(GATEWAY_MAC);
const WALK = new ExtensionWalk();

/** The frame of another VM, where the gateway is the only router. */
export function judgeRouter(frame: Uint8Array): void {
  const at = ethernet.HEADER;
  if (ethernet.type(frame, 0) !== ethernet.TYPE_IPV6 || frame.length < at + ipv6.HEADER) return;
  if (!WALK.walk(frame, at + ipv6.HEADER, frame.length, at + ipv6.AT_NEXT_HEADER, true)) return;
  const isRouter = WALK.protocol === ipv6.PROTOCOL_ICMPV6 && frame[WALK.payload] === ndp.ROUTER_ADVERTISEMENT;
  if (isRouter) throw new Verdict('a VM is a router');
}

/** The frame of another VM that is guarded, whose MAC address is its own. */
export function judgeForeign(frame: Uint8Array): void {
  const type = ethernet.type(frame, 0);
  const at = ethernet.HEADER;
  if (VLAN.includes(type)) throw new Verdict(`a frame with a VLAN tag from a guarded VM`);
  if (type === ethernet.TYPE_IPV4 && frame.length >= at + ipv4.HEADER) judgeIpv4(frame, at);
  else if (type === ethernet.TYPE_ARP && frame.length >= at + arp.LENGTH) judgeOwner(frame, arp.senderAddress(frame, at), 'ARP');
  else if (type === ethernet.TYPE_IPV6 && frame.length >= at + ipv6.HEADER) judgeIpv6(frame, at);
}

function judgeIpv4(frame: Uint8Array, at: number): void {
  judgeOwner(frame, ipv4.source(frame, at), 'IPv4');
  const isFirst = (ipv4.fragment(frame, at) & ipv4.OFFSET_MASK) === 0;
  if (isFirst && ipv4.protocol(frame, at) === ipv4.PROTOCOL_UDP) judgePorts(frame, at + ipv4.headerLength(frame, at));
}

/** The programs' VMs have addresses that are theirs for ever; the gateway's are nobody's. */
function judgeOwner(frame: Uint8Array, address: number, what: string): void {
  const number = address - (SUBNET + 10);
  const isOwn = number < 0 || number >= 4 || ethernet.macLo(frame, 0, ethernet.SOURCE) === ((0xefe40100 + number) | 0);
  if (!isOwn || address === GATEWAY || address === HOST_ADDRESS) throw new Verdict(`${what} of another VM's address: ${number}`);
}

function judgePorts(frame: Uint8Array, at: number): void {
  if (at + 4 > frame.length) return;
  if (SERVERS.includes(u16(frame, at)) || CLIENTS.includes(u16(frame, at + 2))) throw new Verdict('a DHCP server in a guarded VM');
}

/** The programs' VMs take what addresses of IPv6 they find free; the gateway's are nobody's. */
function judgeIpv6(frame: Uint8Array, at: number): void {
  judgeRouter(frame);
  if (isGateways(frame, at + 8)) throw new Verdict('IPv6 from an address of the gateway');
  if (!WALK.walk(frame, at + ipv6.HEADER, frame.length, at + ipv6.AT_NEXT_HEADER, true)) return;
  const { payload, protocol } = WALK;
  if (protocol === ipv4.PROTOCOL_UDP) judgePorts(frame, payload);
  if (protocol !== ipv6.PROTOCOL_ICMPV6) return;
  const type = frame[payload];
  if (type === ndp.REDIRECT) throw new Verdict('a guarded VM redirects');
  if (type === ndp.NEIGHBOUR_ADVERTISEMENT && isGateways(frame, payload + ndp.TARGET)) throw new Verdict('a guarded VM is the gateway');
}

function isGateways(frame: Uint8Array, at: number): boolean {
  if (at + 16 > frame.length) return false;
  const address = new IpAddress(i32(frame, at), i32(frame, at + 4), i32(frame, at + 8), i32(frame, at + 12));
  return [GATEWAY6, HOST6, GATEWAY_LINK].some((each) => each.equals(address));
}
