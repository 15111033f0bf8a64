/** A VM that comes after whatever happened: the network must serve it as if nothing had, in each version of IP that there is. */
import { IpAddress } from '../../src/packet/address.ts';
import * as dhcp from '../../src/packet/dhcpv4.ts';
import * as dhcp6 from '../../src/packet/dhcpv6.ts';
import * as icmpv6 from '../../src/packet/icmpv6.ts';
import * as ipv4 from '../../src/packet/ipv4.ts';
import * as ipv6 from '../../src/packet/ipv6.ts';
import * as ndp from '../../src/packet/ndp.ts';
import * as tcp from '../../src/packet/tcp.ts';
import * as udp from '../../src/packet/udp.ts';
import type { MemoryPort } from '../../src/link/memory-port.ts';
import { GATEWAY6, global6, HOST6, linkLocal6 } from './addresses6.ts';
import * as frames from './frames.ts';
import * as frames6 from './frames6.ts';
import { Judge } from './judge.ts';
import { Step } from './program.ts';
import { type Packet, Verdict } from './verdict.ts';
import { GATEWAY, HOST_ADDRESS, NEWCOMER, NEWCOMER_MAC, type World } from './world.ts';

const PORT = 50_000;
/** Among the VMs of the addresses of IPv6. */
const NUMBER = 200;
const BLANK = new Step(new Uint8Array(16));
const ALL_DHCP = IpAddress.parse('ff02::1:2')!;

class Newcomer {
  readonly #world: World;
  readonly #heard: Packet[] = [];
  readonly port: MemoryPort;
  #fault: unknown;

  constructor(world: World) {
    this.#world = world;
    const judge = new Judge(world);
    const port = world.attach('newcomer', (bytes, at, length) => {
      try {
        const packet = judge.frame(bytes, at, length);
        if (packet !== null) this.#heard.push(packet);
      } catch (error) {
        this.#fault ??= error;
      }
    });
    if (port === null) throw new Verdict('a newcomer finds no room');
    this.port = port;
  }

  raw(frame: Uint8Array): void {
    frames.mendChecksums(frame);
    this.port.send(frame);
    this.#world.turn();
  }

  send(destination: number, protocol: number, payload: Uint8Array): void {
    this.raw(frames.packet({ mac: NEWCOMER_MAC, source: destination === -1 ? 0 : NEWCOMER, destination }, protocol, payload));
  }

  send6(destination: IpAddress, protocol: number, payload: Uint8Array): void {
    const source = ipv6.isMulticast(destination.w0) ? linkLocal6(NUMBER) : global6(NUMBER);
    this.raw(frames6.packet6({ mac: NEWCOMER_MAC, source, destination }, protocol, payload));
  }

  discover6(flags: number): void {
    const { source, destination, hops, bytes } = frames6.discovery(
      NUMBER,
      NEWCOMER_MAC,
      new Step(Uint8Array.of(0, 0, flags, ...new Uint8Array(13))),
    );
    this.raw(frames6.packet6({ mac: NEWCOMER_MAC, source, destination, hops }, ipv6.PROTOCOL_ICMPV6, bytes));
  }

  expect(what: string, isIt: (packet: Packet) => boolean): void {
    if (this.#fault !== undefined) throw this.#fault as Error;
    if (!this.#heard.some(isIt)) throw new Verdict(`a newcomer gets no ${what}`);
    this.#heard.length = 0;
  }
}

const SYN = { port: PORT, remotePort: 80, seq: 1, ack: 0, flags: tcp.SYN, window: 0xffff };

function isAccepted({ protocol, payload }: Packet): boolean {
  return protocol === ipv4.PROTOCOL_TCP && (tcp.flags(payload, 0) & 0x3f) === (tcp.SYN | tcp.ACK);
}

function isFrom({ protocol, payload }: Packet, port: number): boolean {
  return protocol === ipv4.PROTOCOL_UDP && udp.sourcePort(payload, 0) === port;
}

async function overIpv4(world: World, vm: Newcomer): Promise<void> {
  const discover = new Step(Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0));
  vm.send(-1, ipv4.PROTOCOL_UDP, frames.udpBytes(68, 67, frames.dhcpBytes(NEWCOMER_MAC, discover)));
  vm.expect('offer', (packet) => {
    const { payload } = packet;
    if (!isFrom(packet, 67) || udp.destinationPort(payload, 0) !== 68) return false;
    return dhcp.readDhcp(payload.subarray(udp.HEADER))?.options.get(dhcp.OPTION_MESSAGE_TYPE)?.[0] === dhcp.OFFER;
  });
  vm.send(GATEWAY, ipv4.PROTOCOL_ICMP, frames.echoBytes(BLANK, frames.tagged(0, 40)));
  vm.expect('echo', ({ protocol }) => protocol === ipv4.PROTOCOL_ICMP);
  vm.send(GATEWAY, ipv4.PROTOCOL_UDP, frames.udpBytes(PORT, 53, frames.dnsBytes(BLANK)));
  await world.settle();
  vm.expect('DNS answer', (packet) => isFrom(packet, 53));
  vm.send(HOST_ADDRESS, ipv4.PROTOCOL_TCP, frames.tcpBytes(SYN, new Uint8Array(0), new Uint8Array(0)));
  vm.expect('connection', isAccepted);
}

async function overIpv6(world: World, vm: Newcomer): Promise<void> {
  const isMessage = (type: number) => (packet: Packet) => packet.protocol === ipv6.PROTOCOL_ICMPV6 && packet.payload[0] === type;
  vm.discover6(2);
  vm.expect('router', isMessage(ndp.ROUTER_ADVERTISEMENT));
  vm.discover6(0);
  vm.expect('neighbour', isMessage(ndp.NEIGHBOUR_ADVERTISEMENT));
  vm.send6(ALL_DHCP, ipv4.PROTOCOL_UDP, frames.udpBytes(546, 547, frames6.dhcpBytes6(NEWCOMER_MAC, BLANK)));
  vm.expect('lease of IPv6', (packet) => {
    const message = isFrom(packet, 547) ? dhcp6.readDhcp6(packet.payload.subarray(udp.HEADER)) : undefined;
    const [association] = (message && dhcp6.readAssociations(message.options)) ?? [];
    return message?.type === dhcp6.ADVERTISE && association?.addresses.length === 1;
  });
  vm.send6(GATEWAY6, ipv6.PROTOCOL_ICMPV6, frames6.echoBytes6(BLANK, frames.tagged(0, 40)));
  vm.expect('echo of IPv6', isMessage(icmpv6.ECHO_REPLY));
  vm.send6(GATEWAY6, ipv4.PROTOCOL_UDP, frames.udpBytes(PORT, 53, frames.dnsBytes(BLANK)));
  await world.settle();
  vm.expect('DNS answer over IPv6', (packet) => isFrom(packet, 53));
  vm.send6(HOST6, ipv4.PROTOCOL_TCP, frames.tcpBytes(SYN, new Uint8Array(0), new Uint8Array(0)));
  vm.expect('connection over IPv6', isAccepted);
}

/** Throws Verdict when it is not served. */
export async function serveNewcomer(world: World): Promise<void> {
  const vm = new Newcomer(world);
  world.host.answer = 0;
  if (world.ipv4) await overIpv4(world, vm);
  if (world.ipv6) await overIpv6(world, vm);
  world.detach(vm.port);
  world.turn();
}
