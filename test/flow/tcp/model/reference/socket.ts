/**
 * One connection of the reference guest: handshake, acknowledgments, both half-closes, resets (RFC 9293, RFC 5961).
 *
 * It shares nothing with the engine but the wire formats, and judges it: what a correct peer can't send is a Fault.
 */
import * as tcp from '../../../../../src/packet/tcp.ts';
import { TcpOptions, writeSack, writeSynOptions } from '../../../../../src/packet/tcp-options.ts';
import { Timer, type TimerWheel } from '../../../../../src/runtime/timer-wheel.ts';
import { type End, Fault, type Outcome } from '../end.ts';
import type { Pattern } from '../pattern.ts';
import { ACK_NOW, DELAYED_ACK, Receiver } from './receiver.ts';
import { Sender } from './sender.ts';

export interface GuestOptions {
  /** Of the MSS option; 0 sends none. */
  readonly mss: number;
  /** -1: no window scaling. */
  readonly scale: number;
  readonly sack: boolean;
  /** Bytes of the receive buffer. */
  readonly buffer: number;
  readonly shrinks: boolean;
  readonly noDelay: boolean;
  /** Milliseconds that an ACK may wait. */
  readonly ackDelay: number;
  /** Window probes with one byte of data behind the window (BSD), or one sequence number before it (Linux). */
  readonly probesWithData: boolean;
}

export interface Wire {
  readonly wheel: TimerWheel;
  /** What who says nothing of its MSS takes. */
  readonly defaultMss: number;
  now(): number;
  /** Sends `length` bytes of TCP that lie at `at` in `bytes`. */
  transmit(bytes: Uint8Array, at: number, length: number): void;
}

type Phase = 'closed' | 'syn-sent' | 'syn-received' | 'established' | 'time-wait';

const SYN_TIMEOUT = 1000;
const SYN_ATTEMPTS = 7;
const TIME_WAIT = 60_000;
/** Milliseconds of silence between keep-alives, and how many unanswered ones end the connection. */
const KEEP_ALIVE = 20_000;
const KEEP_ALIVE_ATTEMPTS = 6;

const scratch: Uint8Array = new Uint8Array(1 << 17);
const received: TcpOptions = new TcpOptions();
const blockLeft: Int32Array = new Int32Array(4);
const blockRight: Int32Array = new Int32Array(4);

export class ReferenceSocket implements End {
  readonly name: string;
  aborted = false;
  outcome: Outcome = 'open';
  established = false;
  readonly receiver: Receiver;
  readonly sender: Sender;
  #phase: Phase = 'closed';
  readonly #localPort: number;
  readonly #remotePort: number;
  readonly #iss: number;
  #irs = 0;
  #sendScale = 0;
  #receiveScale = 0;
  #windowSeq = 0;
  #windowAck = 0;
  #window = 0;
  #synTries = 0;
  #keepAlives = 0;
  readonly #ackTimer: Timer;
  /** SYN, then keep-alive, then TIME-WAIT. */
  readonly #timer: Timer;
  readonly #wire: Wire;
  readonly #options: GuestOptions;
  readonly #out: Pattern;

  constructor(
    name: string,
    wire: Wire,
    options: GuestOptions,
    ports: { local: number; remote: number },
    iss: number,
    out: Pattern,
    incoming: Pattern,
  ) {
    this.name = name;
    this.#wire = wire;
    this.#options = options;
    this.#localPort = ports.local;
    this.#remotePort = ports.remote;
    this.#iss = iss;
    this.#out = out;
    this.receiver = new Receiver(name, { ...options, mss: options.mss || wire.defaultMss }, incoming);
    this.sender = new Sender(
      wire.wheel,
      () => wire.now(),
      options,
      (from, length, fin) => this.#sendText(from, length, fin),
      () => this.#probe(),
      () => this.#end('reset'),
    );
    this.#ackTimer = new Timer(() => this.#sendAck());
    this.#timer = new Timer(() => this.#expire());
  }

  get written(): number {
    return this.sender.written;
  }

  get finished(): boolean {
    return this.sender.finished;
  }

  get received(): number {
    return this.receiver.received;
  }

  get ended(): boolean {
    return this.receiver.ended;
  }

  get engaged(): boolean {
    return this.#phase !== 'closed' || this.outcome !== 'open';
  }

  /** Knows of no connection: answers everything with RST. */
  get gone(): boolean {
    return this.#phase === 'closed';
  }

  connect(): void {
    this.#phase = 'syn-sent';
    this.#sendSyn();
  }

  send(count: number): void {
    this.sender.written += count;
    this.sender.pump();
  }

  finish(): void {
    this.sender.finished = true;
    this.sender.pump();
  }

  abort(): void {
    if (this.outcome !== 'open') return;
    this.aborted = true;
    if (this.established) this.#write(this.sender.next, tcp.RST | tcp.ACK, 0, 0);
    this.#end('reset');
  }

  read(count: number): void {
    if (this.receiver.read(count) && this.established && this.outcome === 'open') this.#sendAck();
  }

  #end(outcome: Outcome): void {
    if (this.outcome === 'open') this.outcome = outcome;
    this.#phase = 'closed';
    this.sender.stop();
    this.#wire.wheel.cancel(this.#ackTimer);
    this.#wire.wheel.cancel(this.#timer);
  }

  /** A segment for this connection: TCP at `at`, up to `end`. */
  input(bytes: Uint8Array, at: number, end: number): void {
    const flags = tcp.flags(bytes, at);
    const seq = tcp.sequence(bytes, at);
    const ack = tcp.acknowledgment(bytes, at);
    const data = at + tcp.headerLength(bytes, at);
    received.read(bytes, at + tcp.HEADER, data);
    if (this.#phase === 'closed') {
      if (flags & tcp.SYN && !(flags & (tcp.ACK | tcp.RST))) this.#accept(bytes, at);
      return;
    }
    if (this.#phase === 'syn-sent') return this.#answered(flags, seq, ack, tcp.window(bytes, at));
    const position = this.receiver.next + ((seq - this.#rcvNxt) | 0);
    const length = end - data;
    if (flags & tcp.RST) return this.#reset(position);
    if (flags & tcp.SYN) return this.#phase === 'syn-received' ? this.#sendSyn() : this.#sendAck();
    this.#keepAlives = 0;
    if (this.#phase === 'established') this.#wire.wheel.arm(this.#timer, KEEP_ALIVE);
    if (!(flags & tcp.ACK)) throw new Fault(`${this.name}: a segment without ACK`);
    if (this.#phase === 'syn-received' && ack !== ((this.#iss + 1) | 0)) return;
    // Nothing of it in the window: a probe, a keep-alive or a duplicate.
    const space = length + (flags & tcp.FIN);
    if (space === 0 ? position < this.receiver.next : position + space <= this.receiver.next) {
      this.receiver.take(position, bytes, data, length, (flags & tcp.FIN) !== 0);
      this.#sendAck();
      if (this.#phase === 'established') this.#takeAck(flags, seq, ack, tcp.window(bytes, at), space);
      return;
    }
    if (this.#phase === 'syn-received') this.#establish(tcp.window(bytes, at) << this.#sendScale, seq, ack);
    this.#takeAck(flags, seq, ack, tcp.window(bytes, at), space);
    const when = this.receiver.take(position, bytes, data, length, (flags & tcp.FIN) !== 0);
    if (when === ACK_NOW) this.#sendAck();
    else if (when === DELAYED_ACK && !this.#ackTimer.armed) this.#wire.wheel.arm(this.#ackTimer, this.#options.ackDelay);
    this.#maybeDone();
  }

  #accept(bytes: Uint8Array, at: number): void {
    if (this.outcome !== 'open') return;
    this.#takeSyn(tcp.sequence(bytes, at), tcp.window(bytes, at));
    this.#phase = 'syn-received';
    this.#sendSyn();
  }

  #answered(flags: number, seq: number, ack: number, window: number): void {
    if (flags & tcp.ACK && ack !== ((this.#iss + 1) | 0)) throw new Fault(`${this.name}: the SYN is answered with ACK ${ack}`);
    if (flags & tcp.RST) {
      if (flags & tcp.ACK) this.#end('reset');
      return;
    }
    if ((flags & (tcp.SYN | tcp.ACK)) !== (tcp.SYN | tcp.ACK)) return;
    this.#takeSyn(seq, window);
    this.#establish(window, seq, ack);
    this.#sendAck();
  }

  #takeSyn(seq: number, window: number): void {
    this.#irs = seq;
    const scaled = received.windowScale >= 0 && this.#options.scale >= 0;
    this.#sendScale = scaled ? received.windowScale : 0;
    this.#receiveScale = scaled ? this.#options.scale : 0;
    this.sender.mss = Math.min(received.mss || this.#wire.defaultMss, this.#options.mss || this.#wire.defaultMss);
    this.sender.sack = received.sackPermitted && this.#options.sack;
    this.#window = window;
  }

  #establish(window: number, seq: number, ack: number): void {
    this.#phase = 'established';
    this.established = true;
    this.#wire.wheel.arm(this.#timer, KEEP_ALIVE);
    this.#window = window;
    this.#windowSeq = seq;
    this.#windowAck = ack;
    this.sender.edge = window;
    this.sender.start(this.sender.mss, this.sender.sack);
  }

  get #rcvNxt(): number {
    return (this.#irs + 1 + this.receiver.next) | 0;
  }

  #sequence(position: number): number {
    return (this.#iss + 1 + position) | 0;
  }

  /** RFC 5961 §3.2. */
  #reset(position: number): void {
    if (position === this.receiver.next) this.#end(this.#phase === 'time-wait' ? 'closed' : 'reset');
    else if (position > this.receiver.next && position < Math.max(this.receiver.edge, this.receiver.next + 1)) this.#sendAck();
  }

  #takeAck(flags: number, seq: number, ack: number, field: number, space: number): void {
    const { sender } = this;
    const una = sender.una + ((ack - this.#sequence(sender.una)) | 0);
    if (una < sender.una) return;
    const window = field << this.#sendScale;
    const sacks: number[] = [];
    if (sender.sack) {
      for (let i = 0; i < received.sackCount; i++) {
        sacks.push(una + ((received.sackLeft[i]! - ack) | 0), una + ((received.sackRight[i]! - ack) | 0));
      }
    }
    const same = window === this.#window && space === 0 && una === sender.una && una < sender.next && !(flags & tcp.FIN);
    const order = (seq - this.#windowSeq) | 0;
    if (order > 0 || (order === 0 && ((ack - this.#windowAck) | 0) >= 0)) {
      this.#window = window;
      this.#windowSeq = seq;
      this.#windowAck = ack;
      // Of segments with one acknowledgment the older may come last.
      if (una > sender.una && una + window < sender.edge - (1 << this.#sendScale))
        throw new Fault(`${this.name}: the window's right edge moved left`);
      sender.edge = Math.max(sender.edge, una + window);
    }
    sender.acknowledge(una, sacks, same);
    this.#maybeDone();
  }

  #maybeDone(): void {
    if (this.#phase === 'time-wait' || this.outcome !== 'open' || !this.sender.done || !this.receiver.ended) return;
    this.outcome = 'closed';
    this.sender.stop();
    this.#phase = 'time-wait';
    this.#wire.wheel.arm(this.#timer, TIME_WAIT);
  }

  #expire(): void {
    if (this.#phase === 'time-wait') this.#end('closed');
    else if (this.#phase === 'established') this.#keepAlive();
    else if (++this.#synTries > SYN_ATTEMPTS) this.#end('reset');
    else this.#sendSyn();
  }

  #keepAlive(): void {
    if (++this.#keepAlives > KEEP_ALIVE_ATTEMPTS) return this.#end('reset');
    this.#write(this.sender.una - 1, tcp.ACK, 0, 0);
    this.#wire.wheel.arm(this.#timer, KEEP_ALIVE);
  }

  #sendSyn(): void {
    const passive = this.#phase === 'syn-received';
    const { mss, scale, sack } = this.#options;
    const at = tcp.HEADER;
    const offersScale = passive && this.#receiveScale === 0 && this.#sendScale === 0 ? -1 : scale;
    let length = writeSynOptions(scratch, at, mss, offersScale, sack && (!passive || this.sender.sack));
    if (mss === 0) {
      // No MSS option: the others move up.
      scratch.copyWithin(at, at + 4, at + length);
      length -= 4;
    }
    const window = this.receiver.advertise(0);
    const ack = passive ? this.#rcvNxt : 0;
    this.#put(this.#iss, ack, length, passive ? tcp.SYN | tcp.ACK : tcp.SYN, window, 0);
    this.#wire.wheel.arm(this.#timer, SYN_TIMEOUT * 2 ** this.#synTries);
  }

  #sendAck(): void {
    this.#write(this.sender.next, tcp.ACK, 0, this.sender.sack ? this.#writeBlocks() : 0);
  }

  #writeBlocks(): number {
    const blocks = this.receiver.blocks(4);
    for (let i = 0; i < blocks.length; i++) {
      blockLeft[i] = (this.#irs + 1 + blocks[i]!.from) | 0;
      blockRight[i] = (this.#irs + 1 + blocks[i]!.to) | 0;
    }
    return writeSack(scratch, tcp.HEADER, blocks.length, blockLeft, blockRight);
  }

  #sendText(from: number, length: number, fin: boolean): void {
    this.#out.copy(scratch, tcp.HEADER, from, length);
    const push = from + length === this.written ? tcp.PSH : 0;
    this.#write(from, tcp.ACK | push | (fin ? tcp.FIN : 0), length, 0);
  }

  #probe(): void {
    const { sender } = this;
    const byte = this.#options.probesWithData && sender.next < sender.written ? 1 : 0;
    if (byte > 0) {
      this.#out.copy(scratch, tcp.HEADER, sender.una, 1);
      sender.probedTo = sender.una + 1;
    }
    this.#write(byte > 0 ? sender.una : sender.una - 1, tcp.ACK, byte, 0);
  }

  /** A segment whose options or payload lie behind the header's place. */
  #write(position: number, flags: number, payload: number, options: number): void {
    this.#wire.wheel.cancel(this.#ackTimer);
    this.#put(this.#sequence(position), this.#rcvNxt, options, flags, this.receiver.advertise(this.#receiveScale), payload);
  }

  #put(seq: number, ack: number, options: number, flags: number, window: number, payload: number): void {
    tcp.write(scratch, 0, this.#localPort, this.#remotePort, seq, ack, tcp.HEADER + options, flags, window);
    this.#wire.transmit(scratch, 0, tcp.HEADER + options + payload);
  }
}
