/**
 * A port whose VM lives in this process: the soft guest, and programs that speak Ethernet themselves.
 *
 *     guest.send ─► receive side, delivered as one batch ─► switch ─► … ─► transmit side ─► guest's callback
 */
import type { Arena } from '../runtime/arena.ts';
import type { Framing } from './framing.ts';
import { QEMU_FRAMING } from './framing.ts';
import { type FrameReceiver, type FrameTap, type Port, portCounters, type PortCounters } from './port.ts';
import { TransmitBuffer } from './transmit-buffer.ts';
import { CapacityError } from '../errors.ts';

const REGION = 1 << 20;
const FRAMING: Framing = QEMU_FRAMING;

/** What drives the port: the turn loop, or a test that runs the phases by hand. */
export interface Scheduler {
  /** Work for the phases has come up. */
  wake(): void;
}

/** Frames for the guest: valid during the call. */
export type FrameSink = (bytes: Uint8Array, at: number, length: number) => void;

export class MemoryPort implements Port, Disposable {
  readonly id: number;
  readonly name: string;
  readonly headroom: number = FRAMING.prefix;
  readonly offload: boolean = false;
  readonly largestFrame: number = 0;
  readonly counters: PortCounters = portCounters();
  tap: FrameTap | null = null;
  /** Called when `send` may be tried again after it returned false. */
  onDrain: (() => void) | null = null;
  readonly #arena: Arena;
  readonly #scheduler: Scheduler;
  readonly #receiver: FrameReceiver;
  readonly #sink: FrameSink;
  readonly #transmit: TransmitBuffer;
  readonly #region: number;
  /** Frames of the guest that wait for the next turn, with their prefix. */
  #filled = 0;
  #refused = false;
  #paused = false;
  #closed = false;

  /** Throws when the arena is full. */
  constructor(id: number, name: string, arena: Arena, scheduler: Scheduler, receiver: FrameReceiver, sink: FrameSink) {
    this.id = id;
    this.name = name;
    this.#arena = arena;
    this.#scheduler = scheduler;
    this.#receiver = receiver;
    this.#sink = sink;
    const transmit = TransmitBuffer.create(arena, FRAMING, REGION);
    this.#region = arena.allocate(REGION);
    if (transmit === null || this.#region < 0) {
      transmit?.free();
      if (this.#region >= 0) arena.free(this.#region, REGION);
      throw new CapacityError('no-room', 'the arena has no room for another port');
    }
    this.#transmit = transmit;
  }

  /** A frame from the guest, copied. False: full, try again when `onDrain` is called. */
  send(frame: Uint8Array): boolean {
    if (this.#closed || frame.length > FRAMING.limit) return true;
    if (this.#filled + FRAMING.prefix + frame.length > REGION) {
      this.#refused = true;
      return false;
    }
    const at = this.#region + this.#filled;
    FRAMING.write(this.#arena.bytes, at, frame.length);
    this.#arena.bytes.set(frame, at + FRAMING.prefix);
    this.#filled += FRAMING.prefix + frame.length;
    this.#scheduler.wake();
    return true;
  }

  /** First phase: hands the guest's frames to the network. True when there were any. */
  deliver(): boolean {
    if (this.#filled === 0) return false;
    const end = this.#region + this.#filled;
    this.#filled = 0;
    for (let at = this.#region; at < end;) {
      const length = FRAMING.read(this.#arena.bytes, at);
      this.tap?.fromGuest(this.#arena.bytes, at + FRAMING.prefix, length);
      this.#receiver.frame(this, at + FRAMING.prefix, length);
      at += FRAMING.prefix + length;
    }
    this.#receiver.endOfBatch();
    if (this.#refused) {
      this.#refused = false;
      this.onDrain?.();
    }
    return true;
  }

  claim(bytes: number): number {
    return this.#closed ? -1 : this.#transmit.claim(bytes);
  }

  commit(at: number, length: number): void {
    this.#transmit.commit(at, length);
    this.tap?.toGuest(this.#arena.bytes, at, length);
    this.counters.txFrames++;
    this.counters.txBytes += length;
    this.#scheduler.wake();
  }

  /** The guest stops taking frames; they wait, and then `claim` fails. */
  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#scheduler.wake();
  }

  /** Last phase: hands the network's frames to the guest. True when a failed claim may be repeated. */
  flush(): boolean {
    const transmit = this.#transmit;
    if (this.#paused || this.#closed) return false;
    const { head, pending } = transmit;
    // The guest may close the port while it takes what there is.
    for (let at = head; at < head + pending && !this.#closed;) {
      const length = FRAMING.read(this.#arena.bytes, at);
      this.#hand(at + FRAMING.prefix, length);
      at += FRAMING.prefix + length;
    }
    if (this.#closed) return false;
    if (pending > 0) transmit.wrote(pending);
    if (!transmit.starved || !transmit.roomy) return this.#filled > 0;
    transmit.starved = false;
    this.#receiver.drained(this);
    return true;
  }

  /** What the guest's own code throws is its program's to see. Neither this guest's other frames nor other guests wait for it. */
  #hand(at: number, length: number): void {
    try {
      this.#sink(this.#arena.bytes, at, length);
    } catch (error) {
      setImmediate(() => {
        throw error;
      });
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#filled = 0;
    this.#transmit.free();
    this.#arena.free(this.#region, REGION);
    this.#receiver.detached(this);
  }
}
