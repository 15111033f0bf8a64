/**
 * TCP of the soft guest: a small engine of its own, so that it judges the product's and shares nothing with it.
 *
 * In-order receiving only (what comes out of order is dropped and asked for again), go-back-N on a timeout, no congestion
 * control: its wire is memory. Flow control, both half-closes, resets and window scaling are done properly. It is strict:
 * a reset that isn't exactly in sequence does nothing, and data over the MSS or beyond the window is a complaint.
 *
 * A stream has finished when the peer has acknowledged its FIN. Who closes first lingers (TIME-WAIT), to repeat a lost last ACK.
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
/** TIME-WAIT, in milliseconds: two repetitions of the peer's FIN. */
const LINGER = 1000;

/** How a connection sends: the payload's pieces are copied into one packet. */
export interface SegmentOutput {
  readonly mss: number;
  readonly scheduler: Scheduler;
  /** False when the wire is full. */
  send(header: Uint8Array, pieces: readonly Uint8Array[]): boolean;
  /** The peer broke a rule. */
  complain(offence: string): void;
}

type State = 'syn-sent' | 'syn-received' | 'established' | 'time-wait' | 'closed';

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
  /** Behind the last byte ever sent: #next goes back when a timer expires. */
  #highest: number;
  #window = 0;
  #sendScale = 0;
  #mss = 536;
  readonly #queue: Buffer[] = [];
  #queued = 0;
  #finQueued = false;
  #finAcked = false;
  #finished: (() => void) | null = null;
  #accepted: (() => void)[] = [];
  #cancelTimer: (() => void) | null = null;
  #attempts = 0;
  // Receiving.
  #expected = 0;
  #receiveScale = 0;
  #finReceived = false;
  #lastWindow = 0;
  /** Behind the last byte the peer was ever allowed to send. */
  #edge = 0;
  #closedFirst = false;
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
    this.#highest = isn;
    this.#opened = opened;
    this.#gone = gone;
    this.#state = 'syn-sent';
  }

  /** Active open. */
  connectNow(): void {
    this.#receiveScale = SCALE;
    this.#next = this.#highest = (this.#una + 1) | 0;
    this.#sendSyn();
  }

  /** Passive open: answers the SYN at `at`. */
  acceptNow(bytes: Uint8Array, at: number, options: TcpOptions): void {
    this.#state = 'syn-received';
    this.#takeSyn(bytes, at, options);
    this.#next = this.#highest = (this.#una + 1) | 0;
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
    this.#edge = (this.#expected + 0xffff) | 0;
    this.#window = tcp.window(bytes, at);
    this.#mss = Math.min(options.mss || 536, this.#output.mss);
    this.#sendScale = Math.max(options.windowScale, 0);
    this.#receiveScale = options.windowScale >= 0 ? SCALE : 0;
  }

  /** A segment of this connection: header at `at`, payload between `data` and `end`. */
  segment(bytes: Uint8Array, at: number, data: number, end: number, options: TcpOptions): void {
    const flags = tcp.flags(bytes, at);
    if (flags & tcp.RST) return this.#takeReset(bytes, at, flags);
    if (this.#state === 'syn-sent') {
      if ((flags & (tcp.SYN | tcp.ACK)) !== (tcp.SYN | tcp.ACK) || tcp.acknowledgment(bytes, at) !== this.#next) return;
      this.#takeSyn(bytes, at, options);
      this.#establish();
      this.#sendAck();
      return this.#pump();
    }
    if (flags & tcp.SYN) return this.#state === 'syn-received' ? this.#sendSyn() : this.#sendAck();
    if (flags & tcp.ACK) this.#takeAck(bytes, at);
    if (this.#state === 'time-wait' && flags & tcp.FIN) return this.#sendAck();
    if (this.#state !== 'established') return;
    this.#takeData(bytes, at, data, end, flags);
    this.#pump();
    if (this.#ackDue) this.#sendAck();
    this.#maybeGone();
  }

  /** RFC 9293 §3.10.7.3 and §3.10.7.4 (RFC 5961): anything but the exact number may be forged. */
  #takeReset(bytes: Uint8Array, at: number, flags: number): void {
    if (this.#state === 'syn-sent') {
      const isOurs = (flags & tcp.ACK) !== 0 && tcp.acknowledgment(bytes, at) === this.#next;
      if (isOurs) this.#fail('ECONNREFUSED');
      else this.#output.complain('RST that does not acknowledge the SYN');
    } else if (tcp.sequence(bytes, at) === this.#expected) this.#fail('ECONNRESET');
    else {
      this.#output.complain(`RST ${(tcp.sequence(bytes, at) - this.#expected) | 0} bytes off`);
      this.#sendAck();
    }
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
    if (((ack - this.#highest) | 0) > 0) return this.#output.complain('ACK of what was never sent');
    if (advance < 0) return;
    this.#window = tcp.window(bytes, at) << this.#sendScale;
    // A peer that answers probes of its closed window is alive (RFC 9293 §3.8.6.1).
    if (advance > 0 || this.#window === 0) this.#attempts = 0;
    if (advance === 0) return;
    this.#una = ack;
    if (((ack - this.#next) | 0) > 0) this.#next = ack;
    if (advance > this.#queued) {
      this.#finAcked = true;
      this.#closedFirst = !this.#finReceived;
      advance--;
    }
    this.#drop(advance);
    this.#disarm();
    if (this.#finAcked) this.#finish();
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
    if (end - data > this.#output.mss) this.#output.complain(`${end - data} bytes in a segment, ${this.#output.mss} allowed`);
    const beyond = (tcp.sequence(bytes, at) + end - data - this.#edge) | 0;
    // One byte beyond is a probe of a closed window; it finds no room either.
    if (beyond > 1) this.#output.complain(`${beyond} bytes beyond the window`);
    if (beyond > 0) return;
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
    this.#finished = done;
    this.#pump();
  }

  #finish(): void {
    this.#finished?.();
    this.#finished = null;
  }

  override _read(): void {}

  // Not in _read: the stream calls that before it takes the bytes out, and then not again until more arrive.
  // oxlint-disable-next-line typescript/no-explicit-any -- the type of Node's own method
  override read(size?: number): any {
    const chunk: unknown = super.read(size);
    // The window was nearly closed and has opened: the peer must hear of it (RFC 9293 §3.8.6.2.2).
    if (this.#state === 'established' && this.#lastWindow < RECEIVE_WINDOW / 4 && this.#room > RECEIVE_WINDOW / 2) this.#sendAck();
    return chunk;
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (this.#state !== 'time-wait') {
      if (this.#state !== 'closed' && !(this.#finReceived && this.#finAcked)) this.#sendReset();
      this.#close();
    }
    done(error);
  }

  /** Both sides are done; only a repeated FIN is still answered. */
  get isLingering(): boolean {
    return this.#state === 'time-wait';
  }

  /** A new connection takes the place of this lingering one. */
  forget(): void {
    this.#close();
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
      if (size <= 0 && !(fin && left === 0)) {
        // The window is closed and nothing is under way: the timer probes it, for its opening may get lost.
        if (left > 0 && inFlight === 0 && this.#cancelTimer === null) this.#arm();
        return;
      }
      const length = Math.max(size, 0);
      const flags = tcp.ACK | (length === left ? tcp.PSH : 0) | (fin ? tcp.FIN : 0);
      if (!this.#output.send(this.#header(this.#next, flags), this.#slice(inFlight, length))) return;
      this.#ackDue = false;
      this.#advance(length + (fin ? 1 : 0));
      if (this.#cancelTimer === null) this.#arm();
      if (fin) return;
    }
  }

  #advance(count: number): void {
    this.#next = (this.#next + count) | 0;
    if (((this.#next - this.#highest) | 0) > 0) this.#highest = this.#next;
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
    const edge = (this.#expected + (window << this.#receiveScale)) | 0;
    if (((edge - this.#edge) | 0) > 0) this.#edge = edge;
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
      this.#advance(1);
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
    if (!this.#finReceived || !this.#finAcked) return;
    if (!this.#closedFirst) return this.#close();
    this.#state = 'time-wait';
    this.#cancelTimer = this.#output.scheduler.after(LINGER, () => this.#close());
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
