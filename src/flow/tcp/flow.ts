/**
 * One guest's TCP conversation: the state of the guest-facing connection and the host endpoint it is spliced to.
 *
 *     guest ── segments ──► [ receive side ] ── write ──► endpoint        rcvNxt, hostNxt, receive buffer
 *     guest ◄── segments ── [  send side   ] ◄── peek ── endpoint        sndUna, sndNxt, headSeq, scoreboard
 *
 * Sequence numbers are signed words. Names follow RFC 9293 §3.3.1 (SND.UNA is sndUna). Fields are plain and of one shape:
 * the functions that own them are named in the README of this folder.
 */
import type { EndpointHandler, StreamEndpoint } from '../../host/endpoint.ts';
import type { IpAddress } from '../../packet/address.ts';
import { Timer } from '../../runtime/timer-wheel.ts';
import type { Neighbour } from '../../gateway/neighbour.ts';
import type { Port } from '../../link/port.ts';
import { HEADER } from '../../packet/tcp.ts';
import { type Family, type FlowAddresses, familyOf, sumOf } from '../family.ts';
import type { FlowEntry } from '../flow-table.ts';
import type { GuestLink, GuestLinks } from './guest-link.ts';
import type { ReceiveBuffer } from './receive-buffer.ts';
import type { Rack } from './rack.ts';
import { RttEstimator } from './rtt.ts';
import { Scoreboard } from './scoreboard.ts';

/** RFC 9293 §3.3.2, plus CONNECTING: the guest's SYN is held back until the host's connect has succeeded. */
export type State = (typeof State)[keyof typeof State];
export const State = {
  CLOSED: 0,
  CONNECTING: 1,
  SYN_SENT: 2,
  SYN_RECEIVED: 3,
  ESTABLISHED: 4,
  FIN_WAIT_1: 5,
  FIN_WAIT_2: 6,
  CLOSE_WAIT: 7,
  CLOSING: 8,
  LAST_ACK: 9,
  TIME_WAIT: 10,
} as const;

export interface FlowOwner {
  /** The endpoint may have work: look at the flow in the next pump. */
  ready(flow: TcpFlow): void;
  expired(flow: TcpFlow): void;
}

export class TcpFlow implements FlowEntry, FlowAddresses, EndpointHandler {
  readonly guest0: number;
  readonly guest1: number;
  readonly guest2: number;
  readonly guest3: number;
  readonly guestPort: number;
  readonly remote0: number;
  readonly remote1: number;
  readonly remote2: number;
  readonly remote3: number;
  readonly remotePort: number;
  readonly family: Family;
  readonly addressSum: number;
  /** Bytes in front of the payload of a segment without options, in its frame. */
  readonly headers: number;
  hash = 0;
  serial = 0;
  /** The host's side began: a forward, or a program that dialled. */
  fromHost = false;

  state: State = State.CLOSED;
  readonly neighbour: Neighbour;
  readonly vm: Port;
  readonly link: GuestLink;
  /** Null before the host side exists and after it was closed. */
  endpoint: StreamEndpoint | null = null;
  /** Where the host connects to instead of the remote address; null: there, translated. */
  target: { readonly address: IpAddress; readonly port: number } | null = null;
  /** For a local listener: called once the handshake is complete. */
  onEstablished: (() => void) | null = null;
  /** Called once, when the flow leaves the table. */
  onClosed: (() => void) | null = null;
  readonly owner: FlowOwner;

  // Guest → host.
  /** Next sequence number expected from the guest. */
  rcvNxt = 0;
  /** Next sequence number to hand to the host: [hostNxt, rcvNxt) is chained, or waits in the receive buffer. */
  hostNxt = 0;
  /** Right edge of the window last advertised: never moves left (RFC 9293 §3.8.6). */
  rcvEdge = 0;
  /** Bytes taken from the guest ahead of the host, and what that may grow to (receive-window.ts). */
  rcvLimit = 0;
  rcvMost = 0;
  /** When it was last looked at whether that should grow, and what had come until then. */
  tunedAt = 0;
  tunedSeq = 0;
  /** The last periods in which it counted as one whose guest sends much, or gets (guest-link.ts). */
  sentIn = -1;
  gotIn = -1;
  rcvScale = 0;
  /** Sequence number of the guest's FIN, once seen; it counts when rcvNxt reaches it. */
  finAt = 0;
  finSeen = false;
  /** The FIN is in order: rcvNxt is one behind it. */
  finReceived = false;
  /** The host endpoint was told that no more data comes. */
  hostShut = false;
  /** What the host did not take yet, and what came out of order; only while there is such data. */
  received: ReceiveBuffer | null = null;
  /** First and last entry of this batch's chain of in-order segments (see batch-chain.ts); -1 for none. */
  chainHead = -1;
  chainTail = -1;
  chainBytes = 0;
  /** Send an ACK at the end of the round; more than one when duplicates must be counted by a guest without SACK. */
  acksDue = 0;
  /** The acknowledgment the guest was last sent. */
  lastAck = 0;
  /** An ACK waits that data may make needless, and what had been acknowledged when a turn left it to the next (put-off-acks.ts). */
  ackPutOff = false;
  ackKeptAt = 0;
  /** Segments that are still acknowledged at once, because putting it off has brought nothing. */
  promptAcks = 0;

  // Host → guest.
  sndUna = 0;
  sndNxt = 0;
  /** Highest sequence number ever sent, plus one: sndNxt falls back behind it after a timeout. */
  sndMax = 0;
  /** Scaled. */
  sndWnd = 0;
  sndWl1 = 0;
  sndWl2 = 0;
  sndScale = 0;
  /** Largest window the guest has ever offered. */
  maxSndWnd = 0;
  /** Sequence number of the first byte in the endpoint's queue. */
  headSeq = 0;
  /** Payload bytes per segment towards the guest. */
  mss = 0;
  /** SACK was agreed on. */
  sack = false;
  /** The endpoint may have bytes to peek at. */
  readable = false;
  /** The endpoint reported a hang-up that was not looked into yet. */
  hangup = false;
  /** The endpoint's stream has ended; the FIN takes sequence number `endAt`. */
  ended = false;
  endAt = 0;
  /** The FIN has been sent at least once. */
  finSent = false;
  finAcked = false;
  readonly rtt: RttEstimator = new RttEstimator();
  /** Congestion window and threshold, bytes (RFC 5681). */
  cwnd = 0;
  ssthresh = 0;
  duplicateAcks = 0;
  /** In loss recovery until sndUna reaches `recover` (RFC 6675, RFC 6582). */
  recovering = false;
  recover = 0;
  /** The window grows nevertheless: after a timeout, or when nothing was lost after all. */
  growing = false;
  /** Holes below this were retransmitted in this recovery (HighRxt). */
  rexmitNxt = 0;
  /** Holes below this are lost (rack.ts). */
  lostEdge = 0;
  /** A tail probe is under way (tail-loss.ts). */
  tailProbed = false;
  /** What the last reduction has taken, where it began, and how many of the bytes sent again since were not reported twice (undo.ts). */
  undoWindow = 0;
  undoThreshold = 0;
  undoBytes = 0;
  undoFrom = 0;
  /** Where the last of these reports began. */
  undoLast = 0;
  /** After a timeout that may have been needless. */
  timedOut = false;
  readonly scoreboard: Scoreboard = new Scoreboard();
  /** What was sent when; from the first loss on. */
  rack: Rack | null = null;

  // Time.
  readonly timer: Timer;
  /** What the timer stands for; see timers.ts. */
  timerKind = 0;
  /** Retransmissions, probes or keep-alives since the guest was last heard. */
  attempts = 0;
  /** New data was acknowledged: the retransmission timer starts afresh (RFC 6298 §5.3). */
  restart = false;
  lastHeard = 0;

  // Work lists of the engine.
  /** Out of the table: whoever still holds the flow leaves it alone. */
  removed = false;
  touched = false;
  queued = false;
  /** Waits for room on the guest's port. */
  blocked = false;
  /** The endpoint took less than it was given. */
  hostFull = false;
  /** Counts among the host connects under way. */
  connecting = false;

  /** `neighbour` is attached. */
  constructor(owner: FlowOwner, neighbour: Neighbour, links: GuestLinks, guestPort: number, remote: RemoteAddress, remotePort: number) {
    this.owner = owner;
    this.neighbour = neighbour;
    this.vm = neighbour.port!;
    this.link = links.of(this.vm);
    this.guest0 = neighbour.w0;
    this.guest1 = neighbour.w1;
    this.guest2 = neighbour.w2;
    this.guest3 = neighbour.w3;
    this.guestPort = guestPort;
    this.remote0 = remote.w0;
    this.remote1 = remote.w1;
    this.remote2 = remote.w2;
    this.remote3 = remote.w3;
    this.remotePort = remotePort;
    this.family = familyOf(neighbour);
    this.addressSum = sumOf(this, this.family);
    this.headers = this.family.headers + HEADER;
    this.timer = new Timer(() => owner.expired(this));
  }

  onReady(events: number): void {
    if (events & 1) this.readable = true;
    if (events & 2) this.hostFull = false;
    if (events & 4) {
      this.readable = true;
      this.hangup = true;
    }
    this.owner.ready(this);
  }

  /** Bytes in flight towards the guest, FIN included. */
  get flight(): number {
    return (this.sndNxt - this.sndUna) | 0;
  }

  /** Sequence number behind the last data byte expected so far: rcvNxt without the FIN. */
  get dataEnd(): number {
    return this.finReceived ? (this.rcvNxt - 1) | 0 : this.rcvNxt;
  }
}

export interface RemoteAddress {
  readonly w0: number;
  readonly w1: number;
  readonly w2: number;
  readonly w3: number;
}
