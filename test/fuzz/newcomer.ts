/** A VM that comes after whatever happened: the network must serve it as if nothing had. */
import * as dhcp from '../../src/packet/dhcpv4.ts';
import * as ipv4 from '../../src/packet/ipv4.ts';
import * as tcp from '../../src/packet/tcp.ts';
import * as udp from '../../src/packet/udp.ts';
import * as frames from './frames.ts';
import { Judge, type Packet, Verdict } from './judge.ts';
import { Step } from './program.ts';
import { GATEWAY, HOST_ADDRESS, NEWCOMER, NEWCOMER_MAC, type World } from './world.ts';

const PORT = 50_000;
const BLANK = new Step(new Uint8Array(16));

/** Throws Verdict when it is not served. */
export async function serveNewcomer(world: World): Promise<void> {
  const judge = new Judge(world.mtu);
  const heard: Packet[] = [];
  let fault: unknown;
  const port = world.attach('newcomer', (bytes, at, length) => {
    try {
      const packet = judge.frame(bytes, at, length);
      if (packet !== null) heard.push(packet);
    } catch (error) {
      fault ??= error;
    }
  });
  if (port === null) throw new Verdict('a newcomer finds no room');
  const send = (destination: number, protocol: number, payload: Uint8Array): void => {
    const frame = frames.packet({ mac: NEWCOMER_MAC, source: destination === -1 ? 0 : NEWCOMER, destination }, protocol, payload);
    frames.mendChecksums(frame);
    port.send(frame);
    world.turn();
  };
  const expect = (what: string, isIt: (packet: Packet) => boolean): void => {
    if (fault !== undefined) throw fault as Error;
    if (!heard.some(isIt)) throw new Verdict(`a newcomer gets no ${what}`);
  };
  world.host.answer = 0;
  const discover = new Step(Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0));
  send(-1, ipv4.PROTOCOL_UDP, frames.udpBytes(68, 67, frames.dhcpBytes(NEWCOMER_MAC, discover)));
  expect('offer', ({ protocol, payload }) => {
    if (protocol !== ipv4.PROTOCOL_UDP || udp.destinationPort(payload, 0) !== 68) return false;
    return dhcp.readDhcp(payload.subarray(udp.HEADER))?.options.get(dhcp.OPTION_MESSAGE_TYPE)?.[0] === dhcp.OFFER;
  });
  send(GATEWAY, ipv4.PROTOCOL_ICMP, frames.echoBytes(BLANK, frames.tagged(0, 40)));
  expect('echo', ({ protocol }) => protocol === ipv4.PROTOCOL_ICMP);
  send(GATEWAY, ipv4.PROTOCOL_UDP, frames.udpBytes(PORT, 53, frames.dnsBytes(BLANK)));
  await world.settle();
  expect('DNS answer', ({ protocol, payload }) => protocol === ipv4.PROTOCOL_UDP && udp.sourcePort(payload, 0) === 53);
  const syn = { port: PORT, remotePort: 80, seq: 1, ack: 0, flags: tcp.SYN, window: 0xffff };
  send(HOST_ADDRESS, ipv4.PROTOCOL_TCP, frames.tcpBytes(syn, new Uint8Array(0), new Uint8Array(0)));
  expect('connection', ({ protocol, payload }) => protocol === ipv4.PROTOCOL_TCP && (tcp.flags(payload, 0) & 0x3f) === (tcp.SYN | tcp.ACK));
  // The memory of the datagram put together last goes back with the next fragment.
  const fragment = frames.packet({ mac: NEWCOMER_MAC, source: NEWCOMER, destination: GATEWAY }, ipv4.PROTOCOL_UDP, new Uint8Array(0));
  fragment[20] = 0x20;
  port.send(fragment);
  world.turn();
  world.detach(port);
  world.turn();
}
