/**
 * What came back in one step of a script, as lines that mean the same wherever a TCP is free to choose.
 *
 * - Sequence numbers are relative. Runs of segments are one line: how bytes are cut into segments is free.
 * - An ACK that a later segment of the step makes needless is left out: how many are put off is free (RFC 9293 §3.8.6.3).
 * - Of the window only zero and non-zero are told apart. PSH, TTL, IP identification and the scale's value are left out.
 * - Unless `resent` is asked for, what was sent before is left out. Where it is asked for, time is rounded to the
 *   first timeout times a power of two.
 */
import { ACK, FIN, PSH, RST, SYN } from '../../src/packet/tcp.ts';
import { type Arrived, streamByte } from './frame.ts';
import { TIMEOUT } from './script.ts';

const NAMES = ['FIN', 'SYN', 'RST', 'PSH', 'ACK', 'URG', 'ECE', 'CWR'];
/** Option numbers, with the name under which a SYN's are listed. */
const MSS = 2;
const SACK = 5;
const OFFERED: readonly (readonly [number, string])[] = [
  [3, 'scale'],
  [4, 'sack permitted'],
  [8, 'timestamps'],
];
/** Milliseconds until a SYN is sent again (RFC 6298 §2.1). */
const SYN_TIMEOUT = 1000;

interface Entry {
  readonly at: number;
  icmp: string | undefined;
  flags: number;
  /** Relative sequence number, and those of the next byte. */
  start: number;
  end: number;
  ack: number;
  readonly zero: boolean;
  readonly extra: string;
  wrong: boolean;
  again: boolean;
  /** Milliseconds since the same was last sent; 0 when it never was. */
  since: number;
}

export interface StepKind {
  /** The host's application reads: window updates are to be expected, as many as the host likes. */
  readonly reads: boolean;
  /** Time passes: it is worth telling when something was sent. */
  readonly waits: boolean;
}

export class Trace {
  readonly lines: string[] = [];
  readonly #resent: boolean;
  #hostIsn: number | undefined = undefined;
  #sentEnd = 0;
  #acked = 0;
  #closed = false;
  /** When each start was last sent. */
  readonly #times: Map<number, number> = new Map();

  constructor(resent: boolean) {
    this.#resent = resent;
  }

  /** Behind everything the host has sent, relative. */
  get hostEnd(): number {
    return this.#sentEnd;
  }

  hostSequence(relative: number): number {
    return ((this.#hostIsn ?? 0) + relative) | 0;
  }

  /** Called with each arrival at once, so that the guest's next ACK is right. True when a new connection begins. */
  note(arrived: Arrived): boolean {
    if (arrived.icmp !== undefined || (arrived.flags & RST) !== 0) return false;
    let begins = false;
    if ((arrived.flags & SYN) !== 0 && this.#hostIsn !== arrived.seq) {
      begins = this.#hostIsn !== undefined;
      this.#hostIsn = arrived.seq;
      this.#sentEnd = 0;
      this.#times.clear();
    }
    const end = this.#relative(arrived.seq) + sequenceLength(arrived);
    this.#sentEnd = Math.max(this.#sentEnd, end);
    return begins;
  }

  /** The window is closed and everything acknowledged, which is now called `acked`. */
  rebase(acked: number): void {
    this.#acked = acked;
    this.#closed = true;
  }

  #relative(seq: number): number {
    return (seq - (this.#hostIsn ?? 0)) | 0;
  }

  /** Adds what arrived in a step; `sentBefore` is `hostEnd` at its beginning, `guestBase` the guest's sequence number 0. */
  add(arrivals: readonly Arrived[], sentBefore: number, guestBase: number, kind: StepKind): void {
    const entries = arrivals.map((arrived) => this.#entry(arrived, guestBase));
    const told = merged(withoutNeedlessAcks(this.#withoutRepeats(entries, sentBefore, kind), this.#acked));
    for (const entry of told) {
      const bare = entry.flags === ACK && entry.start === entry.end && !entry.extra.includes('sack');
      const moves = entry.ack > this.#acked || entry.zero !== this.#closed;
      if ((entry.flags & (RST | ACK)) === ACK) {
        this.#acked = entry.flags & SYN ? entry.ack : Math.max(this.#acked, entry.ack);
        this.#closed = entry.zero;
      }
      if (bare && kind.reads && !moves) continue;
      this.lines.push(`  ${text(entry, kind.waits && this.#resent)}`);
    }
  }

  #entry(arrived: Arrived, guestBase: number): Entry {
    const { flags, seq, payload, options } = arrived;
    const start = flags & RST && seq === 0 ? 0 : this.#relative(seq);
    const offered = flags & SYN ? OFFERED.filter(([number]) => options.has(number)).map(([, name]) => name) : [];
    const mss = options.get(MSS);
    if (mss !== undefined) offered.unshift(`mss ${mss[0]! * 256 + mss[1]!}`);
    const ranges = sackRanges(options.get(SACK)).map(([left, right]) => `${(left - guestBase) | 0}-${(right - guestBase) | 0}`);
    if (ranges.length > 0) offered.push(`sack ${ranges.join(' ')}`);
    return {
      at: arrived.at,
      icmp: arrived.icmp,
      flags: flags & ~PSH,
      start,
      end: start + sequenceLength(arrived),
      ack: flags & ACK ? (arrived.ack - guestBase) | 0 : 0,
      zero: arrived.window === 0 && (flags & RST) === 0,
      extra: offered.join(', '),
      wrong: payload.some((byte, i) => byte !== streamByte(start - 1 + i)),
      again: false,
      since: 0,
    };
  }

  #withoutRepeats(entries: Entry[], sentBefore: number, kind: StepKind): Entry[] {
    let highest = sentBefore;
    const kept: Entry[] = [];
    for (const entry of entries) {
      if (entry.icmp !== undefined || entry.flags & RST) {
        kept.push(entry);
        continue;
      }
      const before = this.#times.get(entry.start);
      entry.since = before === undefined ? 0 : entry.at - before;
      this.#times.set(entry.start, entry.at);
      const empty = entry.start === entry.end;
      entry.again = empty ? kind.waits && before !== undefined : entry.end <= highest;
      if (!empty && entry.again && !this.#resent) {
        if (entry.ack <= this.#acked) continue;
        Object.assign(entry, { flags: ACK, start: highest, end: highest, again: false });
      } else if (!empty && entry.start < highest && !entry.again) entry.start = highest;
      if (!empty && entry.end > highest) {
        if (entry.flags & SYN) highest = entry.end;
        highest = Math.max(highest, entry.end);
      }
      kept.push(entry);
    }
    return kept;
  }
}

function sequenceLength({ flags, payload }: Arrived): number {
  return payload.length + (flags & SYN ? 1 : 0) + (flags & FIN ? 1 : 0);
}

function sackRanges(bytes: readonly number[] | undefined): (readonly [number, number])[] {
  if (bytes === undefined) return [];
  const words: number[] = [];
  for (let i = 0; i + 4 <= bytes.length; i += 4) {
    words.push((bytes[i]! << 24) | (bytes[i + 1]! << 16) | (bytes[i + 2]! << 8) | bytes[i + 3]!);
  }
  return words.flatMap((left, i) => (i % 2 === 0 ? [[left, words[i + 1]!] as const] : []));
}

function withoutNeedlessAcks(entries: readonly Entry[], acked: number): Entry[] {
  return entries.filter((entry, i) => {
    const bare = entry.flags === ACK && entry.start === entry.end && !entry.extra.includes('sack') && entry.icmp === undefined;
    const needless =
      bare && entry.ack > acked && entries.slice(i + 1).some(({ flags, ack }) => (flags & (ACK | RST)) === ACK && ack >= entry.ack);
    if (entry.flags & ACK && !needless) acked = Math.max(acked, entry.ack);
    return !needless;
  });
}

/** Joins data that follows on data, and a FIN to the data in front of it. */
function merged(entries: readonly Entry[]): Entry[] {
  const result: Entry[] = [];
  for (const entry of entries) {
    const last = result.at(-1);
    const follows = last !== undefined && last.end === entry.start && last.end > last.start && entry.end > entry.start;
    if (!follows || last.again !== entry.again || (last.flags | entry.flags) & (SYN | RST) || last.flags & FIN) {
      result.push(entry);
      continue;
    }
    last.end = entry.end;
    last.flags |= entry.flags;
    last.ack = entry.ack;
    last.wrong ||= entry.wrong;
  }
  return result;
}

function text(entry: Entry, timed: boolean): string {
  if (entry.icmp !== undefined) return entry.icmp;
  const parts = [NAMES.filter((_, bit) => entry.flags & (1 << bit)).join(',') || 'no flags', String(entry.start)];
  const data = entry.end - entry.start - (entry.flags & SYN ? 1 : 0) - (entry.flags & FIN ? 1 : 0);
  if (data > 0) parts.push(`+ ${data} bytes`);
  if (entry.flags & ACK) parts.push(`ack ${entry.ack}`);
  if (entry.zero) parts.push('window 0');
  if (entry.extra !== '') parts.push(`<${entry.extra}>`);
  if (entry.wrong) parts.push('WRONG BYTES');
  if (entry.again) parts.push('again');
  if (entry.since > 0 && entry.again && timed) parts.push(`after ${rounded(entry.since, entry.flags & SYN ? SYN_TIMEOUT : TIMEOUT)} ms`);
  return parts.join(' ');
}

function rounded(ms: number, unit: number): number {
  return unit * 2 ** Math.round(Math.log2(ms / unit));
}
