/** A client of a UDP port of the host that leads to a guest: its address, and the host's side of its conversation. */
import type { IpAddress } from '../../packet/address.ts';
import type { Neighbour } from '../../gateway/neighbour.ts';
import type { DatagramEndpoint, DatagramListener, DatagramPeer, DatagramSenders, EndpointHandler, Spans } from '../../host/endpoint.ts';
import { EAGAIN } from '../../host/errno.ts';
import type { Port } from '../../link/port.ts';
import type { FlowEntry } from '../flow-table.ts';
import type { UdpFlow } from './flow.ts';

const NOBODY: EndpointHandler = { onReady: () => {} };

export class InboundClient implements FlowEntry, DatagramEndpoint, DatagramPeer {
  // Clients of one socket differ in their own address only.
  readonly guest0 = 0;
  readonly guest1 = 0;
  readonly guest2 = 0;
  readonly guest3 = 0;
  readonly guestPort = 0;
  readonly remote0: number;
  readonly remote1: number;
  readonly remote2: number;
  readonly remote3: number;
  readonly remotePort: number;
  readonly neighbour: Neighbour;
  readonly vm: Port;
  hash = 0;
  serial = 0;
  scope = 0;
  local0 = 0;
  local1 = 0;
  local2 = 0;
  local3 = 0;
  handler: EndpointHandler = NOBODY;
  flow: UdpFlow | null = null;
  /** Was heard from again. */
  used = false;
  readonly #listener: DatagramListener;
  readonly #left: (client: InboundClient) => void;

  /** `neighbour` is attached; `left` is called when the conversation has ended. */
  constructor(neighbour: Neighbour, listener: DatagramListener, address: IpAddress, port: number, left: (client: InboundClient) => void) {
    this.neighbour = neighbour;
    this.vm = neighbour.port!;
    this.#listener = listener;
    this.remote0 = address.w0;
    this.remote1 = address.w1;
    this.remote2 = address.w2;
    this.remote3 = address.w3;
    this.remotePort = port;
    this.#left = left;
  }

  /** Answers go to where the datagram in this slot came from, and come from where it went. */
  talksTo(senders: DatagramSenders, slot: number): void {
    const { local } = senders;
    const word = slot * 4;
    this.scope = senders.scope[slot]!;
    this.local0 = local[word]!;
    this.local1 = local[word + 1]!;
    this.local2 = local[word + 2]!;
    this.local3 = local[word + 3]!;
  }

  send(spans: Spans): number {
    return this.#listener.send(spans, this);
  }

  /** What clients send is received for all of them at once. */
  receive(): number {
    return -EAGAIN;
  }

  /** The socket is not connected: the kernel reports nothing about one client. */
  nextReport(): boolean {
    return false;
  }

  dontFragment(): void {
    // The socket is shared with other clients.
  }

  limitHops(): void {
    // As above.
  }

  close(): void {
    if (this.flow !== null) this.#left(this);
  }
}
