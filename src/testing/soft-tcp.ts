/**
 * TCP of the soft guest: a small engine of its own, so that it judges the product's and shares nothing with it.
 *
 * In-order receiving only (what comes out of order is dropped and asked for again), go-back-N on a timeout, no congestion
 * control: its wire is memory. Flow control, both half-closes, resets and window scaling are done properly.
 */
import { Duplex } from 'node:stream';
import { u16 } from '../packet/bytes.ts';
import * as tcp from '../packet/tcp.ts';
import { TcpOptions, writeSynOptions } from '../packet/tcp-options.ts';
import type { Scheduler } from './wire.ts';

const SCALE = 7;
const RECEIVE_WINDOW = 4 << 20;
const SEND_BUFFER = 4 << 20;
const TIMEOUT = 300;
const ATTEMPTS = 8;

/** How a connection sends: the payload's pieces are copied into one packet. */
export interface SegmentOutput {
  readonly mss: number;
  readonly scheduler: Scheduler;
  /** False when the wire is full. */
  send(header: Uint8Array, pieces: readonly Uint8Array[]): boolean;
}

type State = 'syn-sent' | 'syn-received' | 'established' | 'closed';

export class SoftSocket extends Duplex {
  readonly localPort: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly #output: SegmentOutput;
  readonly #opened: (error?: Error) => void;
  readonly #gone: () => void;
  #state: State;
  // Sending: bytes from #una on wait in #queue until they are acknowledged.
  #una: number;
  #next: number;
  #window = 0;
  #sendScale = 0;
  #mss = 536;
  readonly #queue: Buffer[] = [];
  #queued = 0;
  #finQueued = false;
  #finAcked = false;
  #accepted: (() => void)[] = [];
  #cancelTimer: (() => void) | null = null;
  #attempts = 0;
  // Receiving.
  #expected = 0;
  #receiveScale = 0;
  #finReceived = false;
  #lastWindow = 0;
  #ackDue = false;

  constructor(
    output: SegmentOutput,
    ports: { local: number; remote: number; address: string },
    isn: number,
    opened: (error?: Error) => void,
    gone: () => void,
  ) {
    super({ allowHalfOpen: true, readableHighWaterMark: RECEIVE_WINDOW, writableHighWaterMark: SEND_BUFFER });
    this.#output = output;
    this.localPort = ports.local;
    this.remotePort = ports.remote;
    this.remoteAddress = ports.address;
    this.#una = isn;
    this.#next = isn;
    this.#opened = opened;
    this.#gone = gone;
    this.#state = 'syn-sent';
  }

  /** Active open. */
  connectNow(): void {
    this.#receiveScale = SCALE;
    this.#next = (this.#una + 1) | 0;
    this.#sendSyn();
  }

  /** Passive open: answers the SYN at `at`. */
  acceptNow(bytes: Uint8Array, at: number, options: TcpOptions): void {
    this.#state = 'syn-received';
    this.#takeSyn(bytes, at, options);
    this.#next = (this.#una + 1) | 0;
    this.#sendSyn();
  }

  #sendSyn(): void {
    const header = new Uint8Array(tcp.HEADER + 12);
    const scale = this.#receiveScale > 0 ? this.#receiveScale : -1;
    const options = writeSynOptions(header, tcp.HEADER, this.#output.mss, scale, false);
    const flags = this.#state === 'syn-sent' ? tcp.SYN : tcp.SYN | tcp.ACK;
    const ack = flags & tcp.ACK ? this.#expected : 0;
    tcp.write(header, 0, this.localPort, this.remotePort, this.#una, ack, tcp.HEADER + options, flags, 0xffff);
    this.#output.send(header.subarray(0, tcp.HEADER + options), []);
    this.#arm();
  }

  #takeSyn(bytes: Uint8Array, at: number, options: TcpOptions): void {
    this.#expected = (tcp.sequence(bytes, at) + 1) | 0;
    this.#window = tcp.window(bytes, at);
    this.#mss = Math.min(options.mss || 536, this.#output.mss);
    this.#sendScale = Math.max(options.windowScale, 0);
    this.#receiveScale = options.windowScale >= 0 ? SCALE : 0;
  }

  /** A segment of this connection: header at `at`, payload between `data` and `end`. */
  segment(bytes: Uint8Array, at: number, data: number, end: number, options: TcpOptions): void {
    const flags = tcp.flags(bytes, at);
    if (flags & tcp.RST) return this.#fail('ECONNRESET');
    if (this.#state === 'syn-sent') {
      if ((flags & (tcp.SYN | tcp.ACK)) !== (tcp.SYN | tcp.ACK) || tcp.acknowledgment(bytes, at) !== this.#next) return;
      this.#takeSyn(bytes, at, options);
      this.#establish();
      this.#sendAck();
      return this.#pump();
    }
    if (flags & tcp.SYN) return this.#state === 'syn-received' ? this.#sendSyn() : this.#sendAck();
    if (flags & tcp.ACK) this.#takeAck(bytes, at);
    if (this.#state !== 'established') return;
    this.#takeData(bytes, at, data, end, flags);
    this.#pump();
    if (this.#ackDue) this.#sendAck();
    this.#maybeGone();
  }

  #establish(): void {
    this.#state = 'established';
    this.#una = this.#next;
    this.#attempts = 0;
    this.#disarm();
    this.#opened();
  }

  #takeAck(bytes: Uint8Array, at: number): void {
    const ack = tcp.acknowledgment(bytes, at);
    if (this.#state === 'syn-received') {
      if (ack !== this.#next) return;
      this.#establish();
    }
    let advance = (ack - this.#una) | 0;
    if (advance < 0 || ((ack - this.#next) | 0) > 0) return;
    this.#window = tcp.window(bytes, at) << this.#sendScale;
    if (advance === 0) return;
    this.#una = ack;
    this.#attempts = 0;
    if (advance > this.#queued) {
      this.#finAcked = true;
      advance--;
    }
    this.#drop(advance);
    this.#disarm();
    if (this.#una !== this.#next) this.#arm();
  }

  #drop(count: number): void {
    this.#queued -= count;
    let whole = 0;
    while (count > 0) {
      const first = this.#queue[whole]!;
      if (first.length > count) {
        this.#queue[whole] = first.subarray(count);
        break;
      }
      count -= first.length;
      whole++;
    }
    this.#queue.splice(0, whole);
    if (this.#queued < SEND_BUFFER) for (const accepted of this.#accepted.splice(0)) accepted();
  }

  #takeData(bytes: Uint8Array, at: number, data: number, end: number, flags: number): void {
    if (data === end && !(flags & tcp.FIN)) return;
    this.#ackDue = true;
    const known = (this.#expected - tcp.sequence(bytes, at)) | 0;
    if (known < 0 || this.#finReceived) return;
    if (known < end - data) {
      this.push(Buffer.from(bytes.subarray(data + known, end)));
      this.#expected = (this.#expected + end - data - known) | 0;
    }
    if (flags & tcp.FIN && known <= end - data) {
      this.#finReceived = true;
      this.#expected = (this.#expected + 1) | 0;
      this.push(null);
    }
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#queue.push(chunk);
    this.#queued += chunk.length;
    if (this.#queued < SEND_BUFFER) done();
    else this.#accepted.push(done);
    this.#pump();
  }

  override _final(done: () => void): void {
    this.#finQueued = true;
    this.#pump();
    done();
  }

  override _read(): void {
    // The window was nearly closed and has opened: the peer must hear of it (RFC 9293 §3.8.6.2.2).
    if (this.#state === 'established' && this.#lastWindow < RECEIVE_WINDOW / 4 && this.#room > RECEIVE_WINDOW / 2) this.#sendAck();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (this.#state !== 'closed' && !(this.#finReceived && this.#finQueued)) this.#sendReset();
    this.#close();
    done(error);
  }

  /** The wire has room again. */
  drained(): void {
    if (this.#state === 'established') this.#pump();
    if (this.#ackDue && this.#state === 'established') this.#sendAck();
  }

  #pump(): void {
    if (this.#state !== 'established') return;
    for (;;) {
      const inFlight = (this.#next - this.#una) | 0;
      const left = this.#queued - inFlight;
      const size = Math.min(left, this.#mss, this.#window - inFlight);
      const fin = this.#finQueued && left === Math.max(size, 0) && inFlight <= this.#queued;
      if (size <= 0 && !(fin && left === 0)) return;
      const length = Math.max(size, 0);
      const flags = tcp.ACK | (length === left ? tcp.PSH : 0) | (fin ? tcp.FIN : 0);
      if (!this.#output.send(this.#header(this.#next, flags), this.#slice(inFlight, length))) return;
      this.#ackDue = false;
      this.#next = (this.#next + length + (fin ? 1 : 0)) | 0;
      if (this.#cancelTimer === null) this.#arm();
      if (fin) return;
    }
  }

  #slice(from: number, length: number): Buffer[] {
    const pieces: Buffer[] = [];
    for (const buffer of this.#queue) {
      if (length === 0) break;
      if (from >= buffer.length) {
        from -= buffer.length;
        continue;
      }
      const piece = buffer.subarray(from, from + length);
      pieces.push(piece);
      length -= piece.length;
      from = 0;
    }
    return pieces;
  }

  get #room(): number {
    return Math.max(RECEIVE_WINDOW - this.readableLength, 0);
  }

  #header(seq: number, flags: number): Uint8Array {
    const header = new Uint8Array(tcp.HEADER);
    this.#lastWindow = this.#room;
    const window = Math.min(this.#lastWindow >>> this.#receiveScale, 0xffff);
    tcp.write(header, 0, this.localPort, this.remotePort, seq, this.#expected, tcp.HEADER, flags, window);
    return header;
  }

  #sendAck(): void {
    if (this.#output.send(this.#header(this.#next, tcp.ACK), [])) this.#ackDue = false;
    else this.#ackDue = true;
  }

  #sendReset(): void {
    this.#output.send(this.#header(this.#next, tcp.RST | tcp.ACK), []);
  }

  #arm(): void {
    this.#disarm();
    this.#cancelTimer = this.#output.scheduler.after(TIMEOUT * 2 ** this.#attempts, () => this.#expire());
  }

  #disarm(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
  }

  #expire(): void {
    this.#cancelTimer = null;
    if (++this.#attempts > ATTEMPTS) return this.#fail('ETIMEDOUT');
    if (this.#state !== 'established') return this.#sendSyn();
    // Go back to the first unacknowledged byte; a closed window is probed with the next byte behind it.
    this.#next = this.#una;
    if (this.#window === 0 && this.#queued > 0) {
      this.#output.send(this.#header(this.#next, tcp.ACK), this.#slice(0, 1));
      this.#next = (this.#next + 1) | 0;
      return this.#arm();
    }
    this.#pump();
  }

  #fail(code: string): void {
    const error = Object.assign(new Error(`${code} ${this.remoteAddress}:${this.remotePort}`), { code });
    const opening = this.#state === 'syn-sent' || this.#state === 'syn-received';
    this.#close();
    if (opening) this.#opened(error);
    this.destroy(opening ? undefined : error);
  }

  #maybeGone(): void {
    if (this.#finReceived && this.#finAcked) this.#close();
  }

  #close(): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#disarm();
    this.#gone();
  }
}

/** Length field of the TCP header plausible within `length` bytes: the offset of the data, or -1. */
export function dataOffset(bytes: Uint8Array, at: number, length: number): number {
  const offset = length < tcp.HEADER ? 0 : (u16(bytes, at + 12) >>> 12) * 4;
  return offset < tcp.HEADER || offset > length ? -1 : offset;
}
