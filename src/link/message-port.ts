/**
 * A VM of whom each message is one frame, behind a virtio-net header where the link has one.
 *
 *     readable ─► a batch ─► take ─► receiver        claim/commit ─► transmit buffer ─► up to 64 messages a call, once a turn
 */
import { isPossible, VNET_HEADER } from '../packet/vnet-header.ts';
import { EAGAIN, EINTR, EMSGSIZE, ENOBUFS, ENOMEM, errnoText } from '../system/errno.ts';
import type { Arena } from '../runtime/arena.ts';
import { QEMU_FRAMING, VNET_FRAMING } from './framing.ts';
import type { LinkEnvironment } from './link.ts';
import type { MessageSocket } from './message-socket.ts';
import { type FrameReceiver, type FrameTap, LARGEST_FRAME, type Port, type PortCounters, portCounters } from './port.ts';
import { TransmitBuffer } from './transmit-buffer.ts';

/** Bytes that wait for one VM before its flows are held back. */
const TRANSMIT_BUFFER = 1 << 20;

/** What becomes of the frame that a socket has refused. */
export const LOSE = 0;
export const WAIT = 1;
export const DISCONNECT = 2;
/** The link has changed what may have been wrong: once more, then the frame is lost. */
export const AGAIN = 3;

export interface MessagePortOwner {
  /** Has frames to send before the turn ends. */
  dirty(port: MessagePort): void;
  /** Is closed; `reason` is text for the log. */
  closed(port: MessagePort, reason: string): void;
}

/** What a link says of all of its VMs. */
export interface MessageLinkTraits {
  /** A virtio-net header stands in front of each frame. */
  readonly offload: boolean;
  /** See Port.largestFrame. */
  readonly largestFrame: number;
  /** LOSE, WAIT, DISCONNECT or AGAIN after `errno` (positive), for errors that don't mean the same everywhere. */
  refusal(errno: number): number;
}

export class MessagePort implements Port {
  readonly id: number;
  readonly name: string;
  readonly headroom: number;
  readonly offload: boolean;
  readonly largestFrame: number;
  readonly counters: PortCounters = portCounters();
  tap: FrameTap | null = null;
  isDirty = false;
  readonly #arena: Arena;
  readonly #receiver: FrameReceiver;
  readonly #owner: MessagePortOwner;
  readonly #traits: MessageLinkTraits;
  readonly #transmit: TransmitBuffer;
  #socket: MessageSocket | null = null;
  /** A sockaddr; null where the socket is connected. */
  #to: Uint8Array | null = null;
  /** The frame at the head was refused once. */
  #isSecondAttempt = false;
  #closed = false;

  private constructor(
    id: number,
    name: string,
    environment: LinkEnvironment,
    traits: MessageLinkTraits,
    owner: MessagePortOwner,
    transmit: TransmitBuffer,
  ) {
    const { prefix, vnet } = framingOf(traits);
    this.id = id;
    this.name = name;
    this.headroom = prefix + vnet;
    this.offload = traits.offload;
    this.largestFrame = traits.offload ? LARGEST_FRAME : traits.largestFrame;
    this.#arena = environment.arena;
    this.#receiver = environment.receiver;
    this.#owner = owner;
    this.#traits = traits;
    this.#transmit = transmit;
  }

  /** Null when the arena is full. Frames go nowhere before `sendThrough`. */
  static create(
    id: number,
    name: string,
    environment: LinkEnvironment,
    traits: MessageLinkTraits,
    owner: MessagePortOwner,
  ): MessagePort | null {
    const transmit = TransmitBuffer.create(environment.arena, framingOf(traits), TRANSMIT_BUFFER);
    return transmit === null ? null : new MessagePort(id, name, environment, traits, owner, transmit);
  }

  /** Where frames go from now on: to `to` (a sockaddr), or whom `socket` is connected to. The socket stays the link's. */
  sendThrough(socket: MessageSocket, to: Uint8Array | null): void {
    this.#socket = socket;
    this.#to = to;
  }

  /** Message `index` of `region` is this VM's. */
  take(socket: MessageSocket, index: number): void {
    if (this.#closed) return;
    const { region } = socket;
    const { bytes } = this.#arena;
    let at = region.at(index);
    let length = region.length(index);
    if (this.offload) {
      at += VNET_HEADER;
      length -= VNET_HEADER;
    }
    if (length < 0 || (this.offload && !isPossible(bytes, at - VNET_HEADER, length))) {
      this.counters.rxDropped++;
      return;
    }
    this.tap?.fromGuest(bytes, at, length);
    this.#receiver.frame(this, at, length);
  }

  claim(bytes: number): number {
    return this.#closed ? -1 : this.#transmit.claim(bytes);
  }

  commit(at: number, length: number, described = false): void {
    this.#transmit.commit(at, length, described);
    this.tap?.toGuest(this.#arena.bytes, at, length);
    this.counters.txFrames++;
    this.counters.txBytes += length;
    if (this.isDirty) return;
    this.isDirty = true;
    this.#owner.dirty(this);
  }

  /** Sends what there is, as long as the socket takes it. True when a failed claim may be repeated. */
  flush(): boolean {
    this.isDirty = false;
    const transmit = this.#transmit;
    while (!this.#closed && transmit.pending > 0 && this.#send());
    if (this.#closed || !transmit.starved || !transmit.roomy) return false;
    transmit.starved = false;
    this.#receiver.drained(this);
    return true;
  }

  /** True when it may be called again at once. */
  #send(): boolean {
    const errno = -(this.#socket?.send(this.#transmit, this.#to) ?? -EAGAIN);
    if (errno === 0) this.#isSecondAttempt = false;
    if (errno === 0 || errno === EINTR) return true;
    if (errno === EAGAIN) return false;
    let fate = errno === EMSGSIZE ? LOSE : this.#traits.refusal(errno);
    if (fate === AGAIN && this.#isSecondAttempt) fate = LOSE;
    this.#isSecondAttempt = fate === AGAIN;
    if (fate === LOSE) this.#lose();
    else if (fate === DISCONNECT) this.close(`cannot write packet to socket: ${errnoText(errno)}`);
    else if (fate === WAIT) this.#socket!.retryLater();
    return fate === LOSE || fate === AGAIN;
  }

  /** Gives up the frame at the head. */
  #lose(): void {
    const length = this.#transmit.messageLength(this.#transmit.head) - (this.offload ? VNET_HEADER : 0);
    this.#transmit.wroteMessage();
    this.counters.txFrames--;
    this.counters.txBytes -= length;
    this.counters.txDropped++;
  }

  /** Before anybody has heard of it. */
  abandon(): void {
    this.#closed = true;
    this.#transmit.free();
  }

  close(reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#transmit.free();
    this.#receiver.detached(this);
    this.#owner.closed(this, reason);
  }
}

function framingOf(traits: MessageLinkTraits): typeof QEMU_FRAMING {
  return traits.offload ? VNET_FRAMING : QEMU_FRAMING;
}

/** For links that lose nothing: the VM's end is gone, or memory is short for the moment. */
export function losslessRefusal(errno: number): number {
  return errno === ENOBUFS || errno === ENOMEM ? WAIT : DISCONNECT;
}
