/** One guest's UDP conversation: guest address and port, remote address and port, and the connected socket it leaves by. */
import { type DatagramEndpoint, DEFAULT_HOPS, type EndpointHandler, HANGUP } from '../../host/endpoint.ts';
import type { IpAddress } from '../../packet/address.ts';
import { Timer } from '../../runtime/timer-wheel.ts';
import type { Neighbour } from '../../gateway/neighbour.ts';
import type { Port } from '../../link/port.ts';
import { type Family, type FlowAddresses, familyOf, sumOf } from '../family.ts';
import type { FlowEntry } from '../flow-table.ts';

/** Payload of the largest datagram there is, over IPv6: IPv4 counts its header among the 64 KiB. */
export const LARGEST: number = 65_535 - 8;

/** Bytes of a datagram, UDP header included, that every path is expected to carry whole: the smallest MTU of IPv6. */
const CARRIED = 1280 - 20;

export interface UdpFlowOwner {
  ready(flow: UdpFlow): void;
  idle(flow: UdpFlow): void;
}

export class UdpFlow implements FlowEntry, FlowAddresses, EndpointHandler {
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
  hash = 0;
  serial = 0;
  /** The host's side began: a forward, or a program that dialled. */
  fromHost = false;
  readonly neighbour: Neighbour;
  readonly vm: Port;
  endpoint!: DatagramEndpoint;
  readonly timer: Timer;
  /** Datagrams from the guest and from the host: what the idle timeout depends on. */
  sent = 0;
  received = 0;
  /** When the flow was last put at the end of the order of use. */
  ordered = 0;
  /** First and last entry of this batch's chain (see batch-chain.ts); -1 for none. */
  chainHead = -1;
  chainTail = -1;
  queued = false;
  /** The network has reported something about the guest's datagrams. */
  troubled = false;
  /** Whether the guest forbids fragmenting: its first datagram's DF flag, or that of the last large one. */
  df = false;
  /** What the socket is set to. Larger datagrams than `examined` (UDP header included) are looked at for DF. */
  hostDf = false;
  examined: number = CARRIED;
  hops: number = DEFAULT_HOPS;
  /** MTU of the path as the host said when it refused a datagram; 0 before. */
  pathMtu = 0;
  /** The port without room that the flow's answers wait for. */
  blockedOn: Port | null = null;
  /** Payload of about the largest datagram to be expected from the host: how many may be taken at once. */
  largest = LARGEST;
  /** Milliseconds of silence that end the conversation; 0: by what it looks like. */
  lifetime = 0;
  removed = false;
  readonly #owner: UdpFlowOwner;

  /** `neighbour` is attached. */
  constructor(owner: UdpFlowOwner, neighbour: Neighbour, guestPort: number, remote: IpAddress, remotePort: number) {
    this.#owner = owner;
    this.neighbour = neighbour;
    this.vm = neighbour.port!;
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
    this.timer = new Timer(() => owner.idle(this));
  }

  onReady(events: number): void {
    if (events & HANGUP) this.troubled = true;
    this.#owner.ready(this);
  }
}
