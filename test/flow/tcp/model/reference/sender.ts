/**
 * Sending half of the reference guest's TCP, after Linux: segments on a list, RACK and tail loss probes (RFC 8985) or duplicate
 * ACKs without SACK (RFC 6582), CUBIC (RFC 9438), a slow-down undone when it was for nothing (RFC 2883), RTO of 200 ms at least,
 * Nagle's algorithm if wanted.
 *
 * Positions count the stream's bytes from 0; the FIN takes the one behind the last byte.
 */
import { Timer, type TimerWheel } from '../../../../../src/runtime/timer-wheel.ts';
import { Fault } from '../end.ts';

interface Flight {
  readonly from: number;
  readonly to: number;
  readonly fin: boolean;
  /** When it was sent last, and the number of that sending: what was sent later has a higher one. */
  sentAt: number;
  order: number;
  sacked: boolean;
  lost: boolean;
  again: boolean;
}

export interface SenderOptions {
  /** Without it small segments wait while something is in flight (RFC 9293 §3.7.4). */
  readonly noDelay: boolean;
}

/** Sends a segment of the stream. */
export type Transmit = (from: number, length: number, fin: boolean) => void;

const RTO_MINIMUM = 200;
const RTO_MAXIMUM = 5000;
const ATTEMPTS = 15;
const CUBIC_BETA = 0.7;
const CUBIC_C = 0.4;

export class Sender {
  written = 0;
  finished = false;
  una = 0;
  next = 0;
  sack = false;
  mss = 536;
  /** Behind the byte that a window probe has carried. */
  probedTo = -1;
  /** Right edge of the peer's window. */
  edge = 0;
  retransmitted = 0;
  timeouts = 0;
  readonly #flights: Flight[] = [];
  #pipe = 0;
  #order = 0;
  #cwnd = 0;
  #ssthresh = Infinity;
  #recover = -1;
  /** What is repaired until `#recover` was lost by a timeout: the window grows meanwhile. */
  #timedOut = false;
  #duplicates = 0;
  #fack = 0;
  #reordering = false;
  #rackSent = -1;
  #rackOrder = -1;
  #rackRtt = 0;
  #minRtt = Infinity;
  #srtt = 0;
  #variation = 0;
  #backoff = 0;
  /** Timeouts since the peer was last heard of. */
  #attempts = 0;
  #epoch = -1;
  #wMax = 0;
  /** Windows before the last slow-down, and what was sent again since and not reported as a duplicate. */
  #undoWindow = 0;
  #undoThreshold = 0;
  #undoSent = 0;
  /** The timer stands for a tail loss probe; one was sent since the last progress. */
  #probing = false;
  #probed = false;
  /** Retransmission, probe of a window or of the tail. */
  readonly #timer: Timer;
  readonly #rackTimer: Timer;
  readonly #wheel: TimerWheel;
  readonly #now: () => number;
  readonly #transmit: Transmit;
  readonly #probe: () => void;
  readonly #gaveUp: () => void;
  readonly #options: SenderOptions;

  constructor(wheel: TimerWheel, now: () => number, options: SenderOptions, transmit: Transmit, probe: () => void, gaveUp: () => void) {
    this.#wheel = wheel;
    this.#now = now;
    this.#options = options;
    this.#transmit = transmit;
    this.#probe = probe;
    this.#gaveUp = gaveUp;
    this.#timer = new Timer(() => this.#expire());
    this.#rackTimer = new Timer(() => this.#detect());
  }

  /** The handshake is done. */
  start(mss: number, sack: boolean): void {
    this.mss = mss;
    this.sack = sack;
    this.#cwnd = 10 * mss;
    this.pump();
  }

  stop(): void {
    this.#wheel.cancel(this.#timer);
    this.#wheel.cancel(this.#rackTimer);
  }

  /** Position behind everything there is to send, the FIN included. */
  get #end(): number {
    return this.finished ? this.written + 1 : this.written;
  }

  get done(): boolean {
    return this.finished && this.una === this.#end;
  }

  /** Retransmits what is lost, then sends what is new, as far as both windows allow. */
  pump(): void {
    if (this.#cwnd === 0) return;
    for (const flight of this.#flights) {
      if (this.#pipe >= this.#cwnd) break;
      if (flight.lost) this.#sendAgain(flight);
    }
    while (this.next < this.#end && this.#pipe < this.#cwnd && this.#sendNew());
    this.#arm();
  }

  #sendNew(): boolean {
    const left = this.written - this.next;
    const length = Math.min(left, this.mss, Math.max(this.edge - this.next, 0));
    if (length <= 0 && left > 0) return false;
    // Small segments: none for a small window, and none behind others under Nagle's algorithm.
    const small = length < this.mss && length > 0;
    if (small && this.una < this.next && (length < left || (!this.#options.noDelay && !this.finished))) return false;
    const fin = this.finished && length === left;
    const to = this.next + length + (fin ? 1 : 0);
    const flight = { from: this.next, to, fin, sentAt: 0, order: 0, sacked: false, lost: false, again: false };
    this.#flights.push(flight);
    this.#launch(flight);
    this.next = to;
    return true;
  }

  #sendAgain(flight: Flight): void {
    flight.lost = false;
    flight.again = true;
    this.retransmitted++;
    this.#undoSent++;
    this.#launch(flight);
  }

  #launch(flight: Flight): void {
    flight.sentAt = this.#now();
    flight.order = this.#order++;
    this.#pipe += flight.to - flight.from;
    this.#transmit(flight.from, flight.to - flight.from - (flight.fin ? 1 : 0), flight.fin);
  }

  /** `una` is acknowledged, and the ranges of `sacks` (pairs of positions); `duplicate`: RFC 5681 §2. */
  acknowledge(una: number, sacks: readonly number[], duplicate: boolean): void {
    // The byte of a window probe may have been taken.
    if (una > this.next && una === this.probedTo) this.next = una;
    if (una > this.next) throw new Fault(`${una - this.next} bytes are acknowledged that were never sent`);
    const advance = una - this.una;
    if (advance > 0 || this.una === this.next) this.#attempts = 0;
    if (advance > 0) this.#takeCumulative(una);
    for (let i = 0; i < sacks.length; i += 2) this.#takeSack(sacks[i]!, sacks[i + 1]!);
    if (advance > 0) {
      this.#backoff = 0;
      this.#duplicates = 0;
      this.#probed = false;
      if (this.#recover >= 0 && una >= this.#recover) this.#recover = -1;
      else if (this.#recover < 0 || this.#timedOut) this.#grow(advance);
      else if (!this.sack) this.#loseFirst();
      if (this.#recover < 0) this.#timedOut = false;
      this.#wheel.cancel(this.#timer);
    } else if (duplicate && !this.sack) {
      if (++this.#duplicates === 3) this.#loseFirst();
      else if (this.#duplicates > 3) this.#cwnd += this.mss;
    }
    this.#detect();
  }

  #takeCumulative(una: number): void {
    this.una = una;
    while (this.#flights.length > 0 && this.#flights[0]!.to <= una) this.#delivered(this.#flights.shift()!);
  }

  #takeSack(left: number, right: number): void {
    if (right <= this.una) return this.#takeDuplicate();
    if (left < this.una || right > this.next) return;
    for (const flight of this.#flights) {
      if (flight.from >= right) break;
      if (flight.sacked || flight.from < left || flight.to > right) continue;
      this.#delivered(flight);
      flight.sacked = true;
      if (flight.to < this.#fack && !flight.again) this.#reordering = true;
      this.#fack = Math.max(this.#fack, flight.to);
    }
  }

  /** What was sent again has arrived twice. If that is true of all of it, nothing was lost. */
  #takeDuplicate(): void {
    this.#reordering = true;
    if (this.#undoSent === 0 || --this.#undoSent > 0) return;
    this.#cwnd = Math.max(this.#cwnd, this.#undoWindow);
    this.#ssthresh = Math.max(this.#ssthresh, this.#undoThreshold);
    this.#recover = -1;
  }

  #delivered(flight: Flight): void {
    if (!flight.sacked && !flight.lost) this.#pipe -= flight.to - flight.from;
    flight.lost = false;
    const rtt = this.#now() - flight.sentAt;
    if (flight.sacked || (flight.again && rtt < this.#minRtt)) return;
    if (!flight.again) this.#measure(rtt);
    if (flight.order > this.#rackOrder) {
      this.#rackOrder = flight.order;
      this.#rackSent = flight.sentAt;
      this.#rackRtt = rtt;
    }
  }

  #measure(rtt: number): void {
    this.#minRtt = Math.min(this.#minRtt, rtt);
    if (this.#srtt === 0) {
      this.#srtt = Math.max(rtt, 0.01);
      this.#variation = rtt / 2;
      return;
    }
    this.#variation += (Math.abs(this.#srtt - rtt) - this.#variation) / 4;
    this.#srtt += (rtt - this.#srtt) / 8;
  }

  /** RFC 8985 §6.2 step 5: what was sent a reordering window before something that has arrived is lost. */
  #detect(): void {
    if (this.sack && this.#rackSent >= 0) {
      const sacked = this.#flights.reduce((count, { sacked }) => count + (sacked ? 1 : 0), 0);
      const patient = this.#reordering || (this.#recover < 0 && sacked < 3);
      const window = this.#rackRtt + (patient ? this.#minRtt / 4 : 0);
      const now = this.#now();
      let wait = 0;
      for (const flight of this.#flights) {
        if (flight.sacked || flight.lost || flight.order > this.#rackOrder || flight.sentAt > this.#rackSent) continue;
        const left = flight.sentAt + window - now;
        if (left <= 0) this.#lose(flight);
        else wait = Math.max(wait, left);
      }
      if (wait > 0) this.#wheel.arm(this.#rackTimer, wait);
    }
    this.pump();
  }

  #loseFirst(): void {
    const first = this.#flights[0];
    if (first !== undefined && !first.lost) this.#lose(first);
  }

  #lose(flight: Flight): void {
    flight.lost = true;
    this.#pipe -= flight.to - flight.from;
    if (this.#recover >= 0) return;
    this.#recover = this.next;
    this.#slowDown();
    this.#cwnd = this.#ssthresh;
  }

  #slowDown(): void {
    this.#undoWindow = this.#cwnd;
    this.#undoThreshold = this.#ssthresh;
    this.#undoSent = 0;
    this.#wMax = this.#cwnd;
    this.#epoch = -1;
    this.#ssthresh = Math.max(this.#cwnd * CUBIC_BETA, 2 * this.mss);
  }

  #grow(acknowledged: number): void {
    if (this.#cwnd < this.#ssthresh) {
      this.#cwnd += acknowledged;
      return;
    }
    if (this.#epoch < 0) this.#epoch = this.#now();
    const t = (this.#now() - this.#epoch + this.#srtt) / 1000;
    const wMax = this.#wMax / this.mss;
    const k = Math.cbrt((wMax * (1 - CUBIC_BETA)) / CUBIC_C);
    const target = (CUBIC_C * (t - k) ** 3 + wMax) * this.mss;
    const reno = (this.mss * acknowledged) / this.#cwnd;
    const cubic = target > this.#cwnd ? ((target - this.#cwnd) * acknowledged) / this.#cwnd : 0;
    this.#cwnd += Math.min(Math.max(reno, cubic), acknowledged / 2);
  }

  #arm(): void {
    const waiting = this.una < this.next || this.next < this.#end;
    if (!waiting) this.#wheel.cancel(this.#timer);
    else if (!this.#timer.armed) this.#armFor(this.#timeout);
  }

  /** RFC 8985 §7.2: two round trips without news, and time for an ACK that is delayed, come before the timeout. */
  #armFor(timeout: number): void {
    const flying = this.#flights.length;
    const patience = 2 * this.#srtt + (flying === 1 ? 40 : 4);
    this.#probing = this.sack && flying > 0 && this.#recover < 0 && !this.#probed && this.#srtt > 0 && patience < timeout;
    this.#wheel.arm(this.#timer, this.#probing ? patience : timeout);
  }

  get #timeout(): number {
    const base = this.#srtt === 0 ? 1000 : this.#srtt + Math.max(4 * this.#variation, RTO_MINIMUM);
    return Math.min(base * 2 ** this.#backoff, RTO_MAXIMUM);
  }

  /** RFC 8985 §7.3. */
  #probeTail(): void {
    this.#probed = true;
    const last = this.#flights.at(-1);
    if (this.#recover >= 0 || last === undefined || (this.next < this.#end && this.#sendNew()) || last.sacked || last.lost) return;
    this.#pipe -= last.to - last.from;
    this.#sendAgain(last);
  }

  #expire(): void {
    if (this.#probing) {
      this.#probing = false;
      this.#probeTail();
      return this.#arm();
    }
    if (this.#attempts++ >= ATTEMPTS) return this.#gaveUp();
    this.#backoff++;
    if (this.una === this.next) {
      this.#probe();
    } else {
      this.timeouts++;
      this.#timedOut = true;
      for (const flight of this.#flights) {
        flight.sacked = false;
        flight.lost = true;
      }
      this.#pipe = 0;
      this.#duplicates = 0;
      this.#slowDown();
      this.#cwnd = this.mss;
      this.#recover = this.next;
    }
    this.pump();
  }
}
