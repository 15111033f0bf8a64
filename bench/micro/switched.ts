/** A frame on its way through the switch, by where it goes and in what form. */
import { type Family, IPV4, IPV6, ReplyAddresses } from '../../src/flow/family.ts';
import { type Port, portCounters } from '../../src/link/port.ts';
import { IpAddress } from '../../src/packet/address.ts';
import * as ethernet from '../../src/packet/ethernet.ts';
import * as ipv4 from '../../src/packet/ipv4.ts';
import { type Mac, parseMac } from '../../src/packet/mac.ts';
import * as tcp from '../../src/packet/tcp.ts';
import * as vnet from '../../src/packet/vnet-header.ts';
import { Arena } from '../../src/runtime/arena.ts';
import { arenaSum } from '../../src/runtime/arena-checksum.ts';
import { TimerWheel } from '../../src/runtime/timer-wheel.ts';
import { type Guard, Switch } from '../../src/switch/switch.ts';
import type { Subject } from './measure.ts';

const FRAME = 1514;
/** Segments of the super frame. */
const SEGMENTS = 44;
/** Of one VM and of another one. */
const ENDS = new Map([
  [IPV4, [IpAddress.parse('10.0.0.2')!, IpAddress.parse('10.0.0.3')!] as const],
  [IPV6, [IpAddress.parse('fd00::2')!, IpAddress.parse('fd00::3')!] as const],
]);
const GATEWAY = parseMac('5a:94:ef:e4:0c:dd')!;
const FIRST = parseMac('5a:94:ef:e4:0c:ee')!;
const SECOND = parseMac('5a:94:ef:e4:0c:ef')!;
const EVERYONE: Mac = { hi: 0xffff, lo: -1 };

/** A port that takes frames and forgets them. */
export function openPort(arena: Arena, id: number, offload = false): Port {
  const at = arena.allocate(1 << 17);
  return {
    id,
    name: 'open',
    headroom: offload ? 4 + vnet.VNET_HEADER : 4,
    offload,
    largestFrame: offload ? 65_549 : 0,
    counters: portCounters(),
    tap: null,
    claim: () => at,
    commit: () => {},
  };
}

interface Kind {
  readonly name: string;
  readonly to: Mac;
  /** VMs besides the one that sends. Default 1. */
  readonly others?: number;
  readonly guard?: Guard;
  /** The sender leaves segmentation to its card. */
  readonly superFrame?: boolean;
  readonly family?: Family;
}

function switched({ name, to, others = 1, guard = 'mac', superFrame = false, family = IPV4 }: Kind): Subject {
  const arena = new Arena(16 << 20);
  const { bytes } = arena;
  const sum = arenaSum(arena);
  const gateway = { input: (): void => {}, endOfBatch: (): void => {}, drained: (): void => {}, detached: (): void => {} };
  const timers = new TimerWheel(0.5);
  const network = new Switch({ bytes, sum, gatewayMac: GATEWAY, gateway, now: () => timers.now, guard });
  const one = openPort(arena, 0, superFrame);
  network.attached(one);
  const rest = Array.from({ length: others }, (_, i) => openPort(arena, i + 1));
  for (const port of rest) network.attached(port);
  network.macs.learn(SECOND.hi, SECOND.lo, rest[0]!, 0);
  const [source, destination] = ENDS.get(family)!;
  network.leases?.reserve(source.w3, FIRST.hi, FIRST.lo);
  const at = arena.allocate(1 << 17) + 64;
  const headers = family.headers + tcp.HEADER;
  const mss = FRAME - headers;
  const data = superFrame ? SEGMENTS * mss : mss;
  const addresses = new ReplyAddresses();
  addresses.between(destination, source);
  ethernet.write(bytes, at, to.hi, to.lo, FIRST.hi, FIRST.lo, family.etherType);
  family.writeFromGuest(bytes, at + ethernet.HEADER, addresses, ipv4.PROTOCOL_TCP, tcp.HEADER + data, false);
  tcp.write(bytes, at + family.headers, 1, 2, 3, 4, tcp.HEADER, tcp.ACK, 5);
  vnet.write(bytes, at - vnet.VNET_HEADER, family.gso, headers, mss, family.headers, tcp.CHECKSUM);
  const run = (times: number): void => {
    for (let i = 0; i < times; i++) network.frame(one, at, headers + data);
  };
  return { name, frames: superFrame ? SEGMENTS : 1, run };
}

export const SWITCHED: readonly (() => Subject)[] = [
  () => switched({ name: 'Switch, a frame for the gateway', to: GATEWAY }),
  () => switched({ name: 'Switch, a frame for another VM', to: SECOND }),
  () => switched({ name: 'Switch, a frame for another VM, guarded by lease', to: SECOND, guard: 'lease' }),
  () => switched({ name: 'Switch, a frame of IPv6 for another VM, guarded by lease', to: SECOND, guard: 'lease', family: IPV6 }),
  () => switched({ name: `Switch, a super frame cut into ${SEGMENTS}`, to: SECOND, superFrame: true }),
  () => switched({ name: `Switch, a super frame of IPv6 cut into ${SEGMENTS}`, to: SECOND, superFrame: true, family: IPV6 }),
  // Beyond what a VM may have copied it is dropped: nearly all of these are.
  () => switched({ name: 'Switch, a flood of broadcasts to 63 VMs', to: EVERYONE, others: 63 }),
];
