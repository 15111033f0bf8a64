/** The links of one network: what is open, what is being opened, and the VMs that came without a link (connections handed over, guests in this process). */
import type { Socket } from 'node:net';
import { close } from '../system/syscalls.ts';
import { HEADER as ETHERNET_HEADER } from '../packet/ethernet.ts';
import type { Arena } from '../runtime/arena.ts';
import type { TurnLoop } from '../runtime/turn-loop.ts';
import type { LinkEvents } from './events.ts';
import { VNET_FRAMING, VPNKIT_FRAMING } from './framing.ts';
import type { Link, LinkEnvironment } from './link.ts';
import { type FrameSink, MemoryPort } from './memory-port.ts';
import { openLink } from './open.ts';
import type { FrameReceiver, Port } from './port.ts';
import { ReceiveRegion } from './receive-region.ts';
import type { LinkKind, LinkSpec } from './spec.ts';
import type { StreamPort } from './stream-port.ts';
import { StreamPorts } from './stream-ports.ts';
import { takeOver } from './take-over.ts';
import { Taps } from './taps.ts';
import type { VpnkitOptions } from './vpnkit.ts';
import { CapacityError } from '../errors.ts';

/** Bytes read at a time from a VM that was attached by its descriptor. */
const RECEIVE_REGION = 1 << 20;

export interface SocketOptions {
  /** Frames have 32 bits of length, big-endian, and a virtio-net header of 12 bytes that it counts. */
  readonly vnetHeader?: boolean;
}

export interface LinksOptions {
  readonly loop: TurnLoop;
  readonly arena: Arena;
  readonly receiver: FrameReceiver;
  readonly vpnkit: VpnkitOptions;
  /** Hear of every VM, whatever its link. `reason` is text for the log. */
  readonly connected: (port: Port, kind: LinkKind) => void;
  readonly disconnected: (port: Port, reason: string, kind: LinkKind) => void;
}

export class Links {
  readonly taps: Taps = new Taps();
  readonly #options: LinksOptions;
  readonly #open: Set<Link> = new Set();
  readonly #opening: Set<Promise<Link>> = new Set();
  /** VMs attached by their connection; made for the first of them. */
  #attached: StreamPorts | null = null;
  readonly #memoryPorts: Set<MemoryPort> = new Set();
  #nextPort = 0;

  constructor(options: LinksOptions) {
    this.#options = options;
  }

  /** Opens a link; `events` hears of its VMs beside the network. Rejects with SystemError, RangeError when the arena is full, or the resolver's error. */
  async open(spec: LinkSpec, events: Partial<LinkEvents> = {}): Promise<Link> {
    if (spec.kind === 'vpnkit' || spec.kind === 'stdio') this.#checkMtu();
    const opening = openLink(spec, this.#environment(spec.kind, events), this.#options.vpnkit);
    this.#opening.add(opening);
    try {
      const link = await opening;
      this.#open.add(link);
      return link;
    } finally {
      this.#opening.delete(opening);
    }
  }

  /** The network's own frames must fit into the length field; what is too long of other VMs is dropped by the port. */
  #checkMtu(): void {
    const { mtu } = this.#options.vpnkit;
    const most = VPNKIT_FRAMING.limit - ETHERNET_HEADER;
    if (mtu > most)
      throw new CapacityError(
        'mtu-too-large',
        `this link has 16 bits of length, too few for frames of MTU ${mtu}: the MTU must be at most ${most}`,
      );
  }

  #environment(kind: LinkKind, events: Partial<LinkEvents> = {}): LinkEnvironment {
    const { loop, arena, receiver, connected, disconnected } = this.#options;
    const both: LinkEvents = {
      connected: (port) => {
        this.taps.attached(port);
        connected(port, kind);
        events.connected?.(port);
      },
      disconnected: (port, reason) => {
        disconnected(port, reason, kind);
        events.disconnected?.(port, reason);
      },
      refused: (reason) => events.refused?.(reason),
      closed: (link) => {
        this.#open.delete(link);
        events.closed?.(link);
      },
    };
    return { loop, arena, receiver, events: both, nextId: () => this.#nextPort++ };
  }

  /**
   * A VM whose connection a server of this process has accepted: see VirtualNetwork.attachSocket. `head`: bytes of frames that were read already. Takes the socket
   * over. False, and the connection is closed, when there is no room for another VM. Throws SystemError without a descriptor.
   */
  attachSocket(socket: Socket, head: Uint8Array, name: string, options: SocketOptions): boolean {
    const { fd, rest } = takeOver(socket);
    let port: StreamPort | null = null;
    try {
      if (options.vnetHeader !== true) this.#checkMtu();
      this.#attached ??= new StreamPorts(new ReceiveRegion(this.#options.arena, RECEIVE_REGION), this.#environment('socket'));
      port = this.#attached.attach(fd, options.vnetHeader === true ? VNET_FRAMING : VPNKIT_FRAMING, name);
    } finally {
      if (port === null) close(fd);
    }
    port?.feed(head);
    port?.feed(rest);
    return port !== null;
  }

  /** A guest that lives in this process; frames for it go to `sink`. Throws RangeError when there is no room for it. */
  attachMemory(name: string, sink: FrameSink): MemoryPort {
    const { arena, loop, receiver } = this.#options;
    const port = new MemoryPort(this.#nextPort++, name, arena, loop, receiver, sink);
    this.taps.attached(port);
    this.#memoryPorts.add(port);
    receiver.attached(port);
    return port;
  }

  /** The VM is gone. */
  detached(port: Port): void {
    this.taps.detached(port);
    if (port instanceof MemoryPort) this.#memoryPorts.delete(port);
  }

  /** First phase: hands over what guests in this process have sent. True when there was any. */
  deliver(): boolean {
    let delivered = false;
    for (const port of this.#memoryPorts) if (port.deliver()) delivered = true;
    return delivered;
  }

  /** Last phase: hands guests in this process what there is for them. True when a failed claim may be repeated. */
  flush(): boolean {
    let more = false;
    for (const port of this.#memoryPorts) if (port.flush()) more = true;
    return more;
  }

  /** Resolves when no link is being opened any more: one that the loop left behind would keep its socket. */
  async opened(): Promise<void> {
    if (this.#opening.size > 0) await Promise.allSettled(this.#opening);
  }

  close(): void {
    for (const port of this.#memoryPorts) port.close();
    for (const link of this.#open) link.close();
    this.#attached?.close('the network is closed');
    this.taps.close();
  }
}
