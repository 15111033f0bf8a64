/**
 * How a flow begins. From the guest: the host's connect comes first, and only its success is answered with a SYN-ACK.
 *
 *     guest SYN ─► connect on the host ─► connected: SYN-ACK          from the host: SYN to the guest ─► SYN-ACK: established
 *                                      └► refused: RST; unreachable: ICMP                             └► RST: host side reset
 */
import { EADDRNOTAVAIL, EHOSTUNREACH, EINPROGRESS, EMFILE, ENETDOWN, ENETUNREACH, ENFILE, ENOBUFS, ENOMEM } from '../../host/errno.ts';
import type { StreamEndpoint } from '../../host/endpoint.ts';
import { IpAddress } from '../../packet/address.ts';
import { PROTOCOL_TCP } from '../../packet/ipv4.ts';
import * as tcp from '../../packet/tcp.ts';
import { InboundPacket } from '../../gateway/packet.ts';
import type { Neighbour } from '../../gateway/neighbour.ts';
import { startCongestion } from './congestion.ts';
import { addressQuote } from '../family.ts';
import type { TcpContext } from './context.ts';
import { askGate } from './deciding.ts';
import { type FlowOwner, type RemoteAddress, State, TcpFlow } from './flow.ts';
import { refuse, sendMss, sendReset, sendSyn } from './output.ts';
import { startWindow } from './receive-window.ts';
import type { Segment } from './segment.ts';
import { armConnect, armRetransmission } from './timers.ts';

/** Unit of 128 bytes: windows up to 8 MiB. */
const WINDOW_SCALE = 7;

/** RFC 792: network and host unreachable, administratively prohibited (RFC 1122 §3.2.2.1). */
const UNREACHABLE_NET = 0;
const UNREACHABLE_HOST = 1;

/** A SYN for which there is no flow. `later`: is called when something was decided about it outside its batch. */
export function openFromGuest(ctx: TcpContext, owner: FlowOwner, packet: InboundPacket, segment: Segment, later: () => void): void {
  const { counters } = ctx;
  const { gate } = ctx.policy;
  const { destination0, destination1, destination2, destination3 } = packet;
  const destination = new IpAddress(destination0, destination1, destination2, destination3);
  const destinationPort = tcp.destinationPort(ctx.bytes, packet.payload);
  const accept = ctx.gateway.isLocal(destination) && !ctx.policy.blocked(destination) ? ctx.listener(destinationPort) : undefined;
  // With a gate that is for later: it may lead the guest elsewhere.
  if (accept === undefined && gate === null && isForbidden(ctx, destination, destinationPort)) return refuse(ctx, packet, segment);
  if (!ctx.table.shares.allows(packet.port)) {
    counters.tableFull++;
    return refuse(ctx, packet, segment);
  }
  if (accept === undefined && !ctx.connecting.allows(packet.port)) {
    // Silently: the guest tries again in a second, when some of the others have been answered.
    counters.connectingFull++;
    return;
  }
  const { bytes } = ctx;
  const flow = new TcpFlow(owner, packet.neighbour, ctx.links, tcp.sourcePort(bytes, packet.payload), destination, destinationPort);
  flow.state = State.CONNECTING;
  takeSyn(ctx, flow, segment);
  ctx.table.add(flow);
  counters.opened++;
  if (accept !== undefined) return openLocally(ctx, flow, accept);
  ctx.connecting.take(flow.vm);
  flow.connecting = true;
  if (gate === null) ctx.dial(flow);
  else askGate(ctx, gate, flow, later);
}

/** Whether guests must not connect there; counts it. */
export function isForbidden(ctx: TcpContext, destination: IpAddress, port: number): boolean {
  const { counters, policy } = ctx;
  if (policy.blocked(destination)) {
    counters.blocked++;
    return true;
  }
  const target = policy.translate(destination);
  if (!ctx.gateway.isLocal(target) && !policy.isRoundabout(PROTOCOL_TCP, target, port)) return false;
  counters.refused++;
  return true;
}

/** The other end is in this process. */
export function openLocally(ctx: TcpContext, flow: TcpFlow, accept: (flow: TcpFlow) => boolean): void {
  endConnect(ctx, flow);
  if (accept(flow)) connected(ctx, flow);
  else giveUp(ctx, flow, 0);
}

/** Resets a guest whose SYN waits for its answer. */
export function turnAway(ctx: TcpContext, flow: TcpFlow): void {
  // RFC 9293 §3.10.7.1: <SEQ=0><ACK=SEG.SEQ+1><CTL=RST,ACK>; sndNxt is still 0.
  sendReset(ctx, flow);
  ctx.remove(flow);
}

/** Starts the host's connect of a flow that is CONNECTING. */
export function connectHost(ctx: TcpContext, flow: TcpFlow): void {
  const { target } = flow;
  const address = target?.address ?? ctx.policy.translate(new IpAddress(flow.remote0, flow.remote1, flow.remote2, flow.remote3));
  const endpoint = ctx.host.connectStream(address, target?.port ?? flow.remotePort, flow);
  if (typeof endpoint === 'number') return giveUp(ctx, flow, -endpoint);
  flow.endpoint = endpoint;
  armConnect(ctx, flow);
  checkConnect(ctx, flow);
}

/** Looks whether the host's connect has ended. */
export function checkConnect(ctx: TcpContext, flow: TcpFlow): void {
  const status = flow.endpoint!.connectStatus();
  if (status === -EINPROGRESS) return;
  if (status < 0) return giveUp(ctx, flow, -status);
  endConnect(ctx, flow);
  connected(ctx, flow);
}

/** The flow no longer counts as a connect under way. */
export function endConnect(ctx: TcpContext, flow: TcpFlow): void {
  if (!flow.connecting) return;
  flow.connecting = false;
  ctx.connecting.give(flow.vm);
}

/** What the guest's SYN tells (RFC 9293 §3.10.7.2). Data in it is left for the guest to send again. */
function takeSyn(ctx: TcpContext, flow: TcpFlow, segment: Segment): void {
  const { options } = segment;
  const has = segment.hasOptions;
  flow.rcvNxt = (segment.sequence + 1) | 0;
  flow.hostNxt = flow.rcvNxt;
  flow.rcvEdge = flow.rcvNxt;
  flow.mss = sendMss(ctx, flow, has ? options.mss : 0);
  flow.sack = has && options.sackPermitted;
  // RFC 7323 §2.2: scaling is on only when both sides have sent the option.
  const scaled = has && options.windowScale >= 0;
  flow.rcvScale = scaled ? WINDOW_SCALE : 0;
  flow.sndScale = scaled ? options.windowScale : 0;
  flow.tunedAt = ctx.timers.now;
  flow.tunedSeq = flow.rcvNxt;
  startWindow(flow, scaled ? ctx.limits.receiveWindow : Math.min(ctx.limits.receiveWindow, 0xffff));
  flow.sndWnd = segment.window;
  flow.maxSndWnd = segment.window;
  flow.sndWl1 = segment.sequence;
}

/** The host side stands: answer the SYN. */
function connected(ctx: TcpContext, flow: TcpFlow): void {
  flow.state = State.SYN_RECEIVED;
  startSequence(ctx, flow);
  flow.rcvEdge = (flow.rcvNxt + Math.min(flow.rcvLimit, 0xffff)) | 0;
  sendFirstSyn(ctx, flow);
}

/** Its acknowledgment is the first measurement of the round trip (RFC 6298 §2.2): what is lost next is not waited for a whole second. */
function sendFirstSyn(ctx: TcpContext, flow: TcpFlow): void {
  flow.rtt.start(flow.sndUna, ctx.timers.now);
  sendSyn(ctx, flow);
  armRetransmission(ctx, flow);
}

function startSequence(ctx: TcpContext, flow: TcpFlow): void {
  const iss = ctx.isn(flow);
  flow.sndUna = iss;
  flow.sndNxt = (iss + 1) | 0;
  flow.sndMax = flow.sndNxt;
  flow.headSeq = flow.sndNxt;
}

/** Tells the guest that the host could not connect, in the words that fit `errno` (0: a refusal of our own). */
function giveUp(ctx: TcpContext, flow: TcpFlow, errno: number): void {
  const { counters } = ctx;
  flow.endpoint?.close();
  flow.endpoint = null;
  endConnect(ctx, flow);
  if (isExhausted(errno)) counters.hostExhausted++;
  if (errno === ENETUNREACH || errno === ENETDOWN || errno === EHOSTUNREACH) {
    counters.unreachable++;
    ctx.gateway.icmp.unreachable(quote(ctx, flow), errno === EHOSTUNREACH ? UNREACHABLE_HOST : UNREACHABLE_NET);
  } else {
    counters.refused++;
    return turnAway(ctx, flow);
  }
  ctx.remove(flow);
}

/** No descriptor, memory or port is left. */
function isExhausted(errno: number): boolean {
  return errno === EMFILE || errno === ENFILE || errno === ENOBUFS || errno === ENOMEM || errno === EADDRNOTAVAIL;
}

const quoted: InboundPacket = new InboundPacket();

/** The flow's SYN as it came, as far as an ICMP error quotes it: IP header and ports. */
function quote(ctx: TcpContext, flow: TcpFlow): InboundPacket {
  const { bytes, scratch } = ctx;
  const { family } = flow;
  family.writeFromGuest(bytes, scratch, flow, PROTOCOL_TCP, tcp.HEADER, true);
  const at = scratch + family.header;
  tcp.write(bytes, at, flow.guestPort, flow.remotePort, (flow.rcvNxt - 1) | 0, 0, tcp.HEADER, tcp.SYN, 0);
  quoted.bytes = bytes;
  quoted.port = flow.neighbour.port!;
  quoted.neighbour = flow.neighbour;
  quoted.header = scratch;
  quoted.payload = at;
  quoted.end = at + tcp.HEADER;
  quoted.protocol = PROTOCOL_TCP;
  addressQuote(quoted, flow, family);
  return quoted;
}

/** Active open towards a guest that is resolved, for a host side that is connected. */
export function openFromHost(
  ctx: TcpContext,
  owner: FlowOwner,
  neighbour: Neighbour,
  guestPort: number,
  remote: RemoteAddress,
  remotePort: number,
  endpoint: StreamEndpoint,
): TcpFlow {
  const flow = new TcpFlow(owner, neighbour, ctx.links, guestPort, remote, remotePort);
  flow.state = State.SYN_SENT;
  flow.fromHost = true;
  flow.endpoint = endpoint;
  endpoint.handler = flow;
  // What the host has sent, ended or broken before now came with events that nobody heard.
  flow.readable = flow.hangup = true;
  startWindow(flow, ctx.limits.receiveWindow);
  flow.rcvScale = WINDOW_SCALE;
  ctx.table.add(flow);
  ctx.counters.openedFromHost++;
  startSequence(ctx, flow);
  sendFirstSyn(ctx, flow);
  return flow;
}

/** A segment in SYN-SENT (RFC 9293 §3.10.7.3). True when the flow goes on and the segment's data should be looked at. */
export function answerSynSent(ctx: TcpContext, flow: TcpFlow, packet: InboundPacket, segment: Segment): boolean {
  const acks = (segment.flags & tcp.ACK) !== 0;
  if (acks && segment.acknowledgment !== flow.sndNxt) {
    refuse(ctx, packet, segment);
    return false;
  }
  if (segment.flags & tcp.RST) {
    if (acks) {
      ctx.counters.resetsIn++;
      flow.endpoint?.reset();
      flow.endpoint = null;
      ctx.remove(flow);
    }
    return false;
  }
  if (!(segment.flags & tcp.SYN)) return false;
  takeSyn(ctx, flow, segment);
  flow.rcvEdge = (flow.rcvNxt + Math.min(flow.rcvLimit, 0xffff)) | 0;
  if (acks) {
    flow.acksDue = 1;
    establish(ctx, flow, segment, 0);
    return true;
  }
  // Simultaneous open.
  flow.state = State.SYN_RECEIVED;
  sendSyn(ctx, flow);
  armRetransmission(ctx, flow);
  return false;
}

/** Our SYN is acknowledged. `scale` is that of the acknowledging segment's window: 0 when it is a SYN-ACK. */
export function establish(ctx: TcpContext, flow: TcpFlow, segment: Segment, scale: number): void {
  flow.state = State.ESTABLISHED;
  flow.sndUna = flow.sndNxt;
  // A SYN that was sent again measures nothing (RFC 6298 §3), and its longer timeout stays (§5.7).
  if (flow.rtt.timing) flow.link.measured(flow.rtt.acknowledge(flow.sndUna, ctx.timers.now));
  flow.sndWnd = segment.window << scale;
  flow.maxSndWnd = flow.sndWnd;
  flow.sndWl1 = segment.sequence;
  flow.sndWl2 = segment.acknowledgment;
  flow.attempts = 0;
  flow.restart = true;
  flow.lastHeard = ctx.timers.now;
  startCongestion(flow);
  ctx.touch(flow);
  flow.onEstablished?.();
  flow.onEstablished = null;
}
