/** Runs one script in one world and writes down what came back. */
import { type Arrived, GATEWAY, HOST, type Placed, segmentFrame } from './frame.ts';
import { SYN } from '../../src/packet/tcp.ts';
import { delay, until } from '../guest/process.ts';
import type { RawGuest } from './raw-guest.ts';
import { describe, FILLED, type HostAction, type Script, type SegmentSpec, type Step } from './script.ts';
import { Trace } from './trace.ts';

/** Milliseconds after each step: longer than the kernel puts ACKs off (40). */
const SETTLE = 90;
/** After the window was filled: the kernel then puts ACKs off for longer. */
const SETTLE_FILLED = 300;
const DEFAULT_ISN = 1_000_000;
const FULL = 1460;
/** Bytes sent at once: what several conversations may have on the wire together. */
const BURST = 64 << 10;
/** A window that is not closed after so many bytes never will be. */
const FILL_LIMIT = 64 << 20;

/** The lines of a script's trace in the world of `guest`. */
export async function converse(guest: RawGuest, script: Script): Promise<string[]> {
  const conversation = new Conversation(guest, script);
  await conversation.open();
  for (const step of script.steps) await conversation.take(step);
  await conversation.close();
  return conversation.trace.lines;
}

class Conversation {
  readonly trace: Trace;
  readonly #guest: RawGuest;
  readonly #script: Script;
  readonly #guestPort: number;
  #remote = HOST;
  #remotePort = 9;
  /** What relative sequence number 0 of the guest is on the wire. */
  #base: number;
  /** Where the guest's stream begins, and where the newest SYN says that it does. */
  #streamStart = 1;
  #announcedStart = 1;
  /** Bytes by which FILLED is away from what it stands for. */
  #shift = 0;
  /** Behind everything the guest has sent, relative. */
  #next = 0;
  #arrivals: Arrived[] = [];
  #newest: Arrived | undefined = undefined;
  #scale = 0;

  constructor(guest: RawGuest, script: Script) {
    this.#guest = guest;
    this.#script = script;
    this.#base = script.isn ?? DEFAULT_ISN;
    this.trace = new Trace(script.resent === true);
    this.#guestPort = guest.open((arrived) => this.#arrived(arrived));
  }

  async open(): Promise<void> {
    const { name, host, receiveBuffer } = this.#script;
    const { world } = this.#guest;
    if (host === 'closed') return;
    if (host !== 'connects') {
      this.#remotePort = await world.listen(name, receiveBuffer);
      return;
    }
    this.#remote = GATEWAY;
    await world.connect(name, this.#guestPort);
    await until(() => this.#newest !== undefined, `a SYN of ${world.name} in '${name}'`);
    this.#note('host connects', 0, { reads: false, waits: false });
  }

  async close(): Promise<void> {
    await this.#guest.world.application.do({ does: 'forget', name: this.#script.name });
    this.#guest.close(this.#guestPort);
  }

  #arrived(arrived: Arrived): void {
    this.#arrivals.push(arrived);
    this.#newest = arrived;
    this.#remotePort = arrived.remotePort;
    const scale = arrived.options.get(3);
    if (scale !== undefined) this.#scale = scale[0]!;
    if (this.trace.note(arrived)) this.#streamStart = this.#announcedStart;
  }

  async take(step: Step): Promise<void> {
    const before = this.trace.hostEnd;
    let label = describe(step);
    const reads = step.kind === 'fill' || (step.kind === 'host' && (step.action.does === 'read' || step.action.does === 'drain'));
    if (step.kind === 'guest') for (const spec of step.segments) this.#send(spec);
    else if (step.kind === 'host') label += ` → ${await this.#act(step.action)}`;
    else if (step.kind === 'wait') await delay(step.ms);
    else label += ` → ${await this.#fill()}`;
    const pause = step.kind === 'guest' ? (step.pause ?? 0) : 0;
    await delay(Math.max(pause, this.#shift === 0 ? SETTLE : SETTLE_FILLED));
    await this.#guest.barrier();
    if (step.kind === 'fill') this.#arrivals = [];
    this.#note(label, before, { reads, waits: step.kind === 'wait' });
  }

  #note(label: string, before: number, kind: { reads: boolean; waits: boolean }): void {
    const arrivals = this.#arrivals;
    this.#arrivals = [];
    this.trace.lines.push(label);
    this.trace.add(arrivals, before, this.#base, kind);
  }

  #send(spec: SegmentSpec): void {
    const flags = spec.flags ?? 'A';
    const start = spec.seq ?? this.#next;
    if (flags.includes('S')) {
      this.#announcedStart = start + 1;
      if (this.#next === 0) this.#streamStart = start + 1;
    }
    const length = (spec.data ?? 0) + (flags.includes('S') ? 1 : 0) + (flags.includes('F') ? 1 : 0);
    this.#next = Math.max(this.#next, start + length);
    const ack = flags.includes('A') ? this.trace.hostSequence(spec.ack ?? this.trace.hostEnd) : 0;
    const placed: Placed = {
      spec,
      seq: (this.#base + start) | 0,
      ack,
      offset: Math.max(start - this.#streamStart, 0) + this.#shift,
      sack: (spec.sack ?? []).map(([left, right]) => [this.trace.hostSequence(left), this.trace.hostSequence(right)] as const),
      remote: this.#remote,
      guestPort: this.#guestPort,
      remotePort: this.#remotePort,
    };
    this.#guest.world.send(segmentFrame(placed));
  }

  async #act(action: HostAction): Promise<string> {
    const result = await this.#guest.world.application.do({ name: this.#script.name, ...action });
    if (!Array.isArray(result)) return String(result);
    const [total, end] = result;
    const sent = this.#next - this.#streamStart + this.#shift;
    // A FIN is counted with the bytes, and was not read.
    const lacks = sent - total - (end === ' end' ? 1 : 0);
    return `${lacks === 0 ? 'everything' : lacks <= FULL ? `all but ${lacks} bytes` : 'a part'}${end}`;
  }

  /** Sends what the window allows until it is closed and everything is acknowledged. */
  async #fill(): Promise<string> {
    const started = this.#next;
    let [acked, quiet] = [started, 0];
    while (this.#next - started < FILL_LIMIT) {
      const { ack, window, flags } = this.#newest!;
      // The window of a SYN is never scaled (RFC 7323 §2.2).
      const [now, room] = [(ack - this.#base) | 0, flags & SYN ? window : window << this.#scale];
      quiet = now === acked ? quiet + 1 : 0;
      acked = now;
      if (room === 0 && acked === this.#next) return this.#filled();
      // The host may drop what it has no memory for.
      if (quiet > 20) [this.#next, quiet] = [acked, 0];
      for (let left = Math.min(acked + room - this.#next, BURST); left > 0; left -= FULL) this.#send({ data: Math.min(left, FULL) });
      await delay(4);
    }
    return 'the window stays open';
  }

  /** The bytes in front differ from world to world: what follows is counted from here. */
  #filled(): string {
    const moved = this.#next - FILLED;
    this.#shift += moved;
    this.#base = (this.#base + moved) | 0;
    this.#next = FILLED;
    this.trace.rebase(FILLED);
    return 'closed';
  }
}
