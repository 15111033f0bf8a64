/**
 * Builds the frames of a flow: Ethernet, IP and TCP header in front of a payload that is already in place.
 *
 * Every segment carries the current acknowledgment and window, so whatever is sent settles an ACK that is due.
 */
import { fold, sum as plainSum } from '../../packet/checksum.ts';
import * as ethernet from '../../packet/ethernet.ts';
import { PROTOCOL_TCP } from '../../packet/ipv4.ts';
import * as ipv6 from '../../packet/ipv6.ts';
import * as tcp from '../../packet/tcp.ts';
import * as vnet from '../../packet/vnet-header.ts';
import { writeSack, writeSynOptions } from '../../packet/tcp-options.ts';
import type { InboundPacket } from '../../gateway/packet.ts';
import { ReplyAddresses } from '../family.ts';
import type { TcpContext } from './context.ts';
import { State, type TcpFlow } from './flow.ts';
import { SACK_BLOCKS } from './out-of-order.ts';
import { advertise, receiveWindow } from './receive-window.ts';
import type { Segment } from './segment.ts';

/** Room claimed for a segment without payload: headers of either version of IP, and 40 bytes of options. */
const CONTROL = ethernet.HEADER + ipv6.HEADER + tcp.HEADER + 40;

/** Segments of this many bytes or more are whole pages: kernels copy them faster, by a quarter of all that is done per byte. */
const LARGE = 32_768;
const PAGE = 4096;

/** Payload that fits a frame on this network: 28 bytes at the smallest MTU there is. */
export function localMss(ctx: TcpContext, { family }: TcpFlow): number {
  const most = ctx.gateway.mtu - family.header - tcp.HEADER;
  return most < LARGE ? most : most - (most % PAGE);
}

/**
 * RFC 6691: the peer's MSS option says nothing about options; ours on data segments are none. A guest that asks for less than
 * 48 bytes a segment gets them, but what doesn't fit the network is never sent.
 */
export function sendMss(ctx: TcpContext, flow: TcpFlow, option: number): number {
  return Math.min(Math.max(option || flow.family.mss, 48), localMss(ctx, flow));
}

/**
 * Fills in the headers of the frame at `at`, whose payload (and options, `options` bytes of them) is in place, and hands
 * it to the port.
 */
export function emit(ctx: TcpContext, flow: TcpFlow, at: number, seq: number, flags: number, options: number, payload: number): void {
  const window = flags & tcp.SYN ? Math.min(receiveWindow(flow), 0xffff) : advertise(flow);
  emitWithWindow(ctx, flow, at, seq, flags, options, payload, window);
}

/** As `emit`, for callers that send many segments in a row with one window. */
export function emitWithWindow(
  ctx: TcpContext,
  flow: TcpFlow,
  at: number,
  seq: number,
  flags: number,
  options: number,
  payload: number,
  window: number,
): void {
  const { bytes } = ctx;
  const { family, neighbour } = flow;
  ethernet.write(bytes, at, neighbour.macHi, neighbour.macLo, ctx.gateway.macHi, ctx.gateway.macLo, family.etherType);
  const segment = tcp.HEADER + options + payload;
  family.write(bytes, at + ethernet.HEADER, flow, PROTOCOL_TCP, segment);
  const header = at + family.headers;
  const ack = flags & tcp.ACK ? flow.rcvNxt : 0;
  flow.lastAck = flow.rcvNxt;
  tcp.write(bytes, header, flow.remotePort, flow.guestPort, seq, ack, tcp.HEADER + options, flags, window);
  const pseudo = flow.addressSum + PROTOCOL_TCP + segment;
  const port = neighbour.port!;
  const offload = port.offload && payload > 0;
  if (offload) describe(bytes, at, payload, flow);
  tcp.setChecksum(bytes, header, offload ? fold(pseudo) : ~ctx.sum(header, segment, pseudo) & 0xffff);
  port.commit(at, family.headers + segment, offload);
  ctx.counters.segmentsOut++;
}

/** Leaves the checksum, and the cutting of what is longer than a segment, to the VM; its kernel does neither unless it must. */
function describe(bytes: Uint8Array, at: number, payload: number, { family, headers, mss }: TcpFlow): void {
  const gso = payload > mss ? family.gso : vnet.GSO_NONE;
  const size = payload > mss ? mss : 0;
  vnet.write(bytes, at - vnet.VNET_HEADER, gso, headers, size, family.headers, tcp.CHECKSUM);
}

/** Claims room for one segment without payload; -1 when the port has none (or the guest is gone). */
function claimControl(flow: TcpFlow): number {
  const port = flow.neighbour.port;
  if (port === null) return -1;
  const at = port.claim(port.headroom + CONTROL);
  return at < 0 ? -1 : at + port.headroom;
}

/**
 * Sequence number of a segment without text. sndNxt falls back after a timeout, and the guest would take what is sent from there
 * for an old segment. Behind a window that has shrunk, its edge (as Linux does).
 */
function acceptableSeq(flow: TcpFlow): number {
  const edge = (flow.sndUna + flow.sndWnd) | 0;
  const beyond = (flow.sndMax - edge) | 0;
  return beyond < 1 << flow.sndScale || flow.state < State.ESTABLISHED ? flow.sndMax : edge;
}

/** Sends one ACK with the SACK blocks that are due. False when the port had no room. */
export function sendAck(ctx: TcpContext, flow: TcpFlow): boolean {
  const at = claimControl(flow);
  if (at < 0) return false;
  const options = flow.sack && flow.received !== null ? sackBlocks(ctx, flow, at + flow.headers) : 0;
  emit(ctx, flow, at, acceptableSeq(flow), tcp.ACK, options, 0);
  return true;
}

const blockLeft: Int32Array = new Int32Array(SACK_BLOCKS);
const blockRight: Int32Array = new Int32Array(SACK_BLOCKS);

function sackBlocks(ctx: TcpContext, flow: TcpFlow, at: number): number {
  const fit = (ctx.gateway.mtu - flow.family.header - tcp.HEADER - 4) >> 3;
  const count = Math.min(flow.received!.outOfOrder.blocks(blockLeft, blockRight), fit);
  return writeSack(ctx.bytes, at, count, blockLeft, blockRight);
}

/** A segment outside the send queue: window probe or keep-alive, one sequence number below SND.UNA so that it must be answered. False when the port had no room. */
export function sendProbe(ctx: TcpContext, flow: TcpFlow): boolean {
  const at = claimControl(flow);
  if (at < 0) return false;
  emit(ctx, flow, at, (flow.sndUna - 1) | 0, tcp.ACK, 0, 0);
  return true;
}

/** SYN (active open) or SYN-ACK. RFC 7323 §2.2: the window in it is never scaled. */
export function sendSyn(ctx: TcpContext, flow: TcpFlow): boolean {
  const at = claimControl(flow);
  if (at < 0) return false;
  const active = flow.state === State.SYN_SENT;
  const scale = active || flow.rcvScale > 0 ? flow.rcvScale : -1;
  const options = writeSynOptions(ctx.bytes, at + flow.headers, localMss(ctx, flow), scale, active || flow.sack);
  emit(ctx, flow, at, flow.sndUna, active ? tcp.SYN : tcp.SYN | tcp.ACK, options, 0);
  return true;
}

/** RST where a guest that has everything expects the next byte (RFC 5961 §3.2); with an ACK as soon as there is something to acknowledge. */
export function sendReset(ctx: TcpContext, flow: TcpFlow): void {
  const at = claimControl(flow);
  if (at < 0) return;
  emit(ctx, flow, at, acceptableSeq(flow), flow.state === State.SYN_SENT ? tcp.RST : tcp.RST | tcp.ACK, 0, 0);
  ctx.counters.resetsOut++;
}

const reply: ReplyAddresses = new ReplyAddresses();

/** Answers a segment that belongs to no flow (RFC 9293 §3.10.7.1). */
export function refuse(ctx: TcpContext, packet: InboundPacket, segment: Segment): void {
  if (segment.flags & tcp.RST) return;
  const port = packet.port;
  const claim = port.claim(port.headroom + CONTROL);
  if (claim < 0) return;
  const { bytes } = ctx;
  const at = claim + port.headroom;
  const { macHi, macLo } = packet.neighbour;
  reply.answer(packet);
  const { family } = reply;
  ethernet.write(bytes, at, macHi, macLo, ctx.gateway.macHi, ctx.gateway.macLo, family.etherType);
  family.write(bytes, at + ethernet.HEADER, reply, PROTOCOL_TCP, tcp.HEADER);
  const header = at + family.headers;
  const [fromPort, toPort] = [tcp.destinationPort(bytes, packet.payload), tcp.sourcePort(bytes, packet.payload)];
  if (segment.flags & tcp.ACK) {
    tcp.write(bytes, header, fromPort, toPort, segment.acknowledgment, 0, tcp.HEADER, tcp.RST, 0);
  } else {
    const ack = (segment.sequence + segment.sequenceLength) | 0;
    tcp.write(bytes, header, fromPort, toPort, 0, ack, tcp.HEADER, tcp.RST | tcp.ACK, 0);
  }
  tcp.setChecksum(bytes, header, ~plainSum(bytes, header, tcp.HEADER, reply.addressSum + PROTOCOL_TCP + tcp.HEADER) & 0xffff);
  port.commit(at, family.headers + tcp.HEADER);
  ctx.counters.segmentsOut++;
  ctx.counters.resetsOut++;
}
