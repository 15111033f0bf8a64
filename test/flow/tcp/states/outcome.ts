/**
 * What an event has brought about, as one line: what was sent, what the host side saw, which counters moved, the state.
 *
 *     ACK ack r+5; host gets hello; stays
 *
 * A number that is the usual one is left out: SEQ = s (of a SYN s-1), ACK = r. Whatever changed is in the line, so nothing changes unnoticed.
 */
import assert from 'node:assert/strict';
import { TcpCounters } from '../../../../src/flow/tcp/context.ts';
import { State } from '../../../../src/flow/tcp/flow.ts';
import { ACK, Bench, names, RST, type Sent, SYN } from '../bench.ts';
import type { FakeStream } from '../fake-host.ts';
import type { Situation } from './situations.ts';

/** Beyond this a number has nothing to do with the connection's. */
const NEAR = 1_000_000;

type Counter = keyof TcpCounters;
const COUNTERS = Object.keys(new TcpCounters()).filter((name) => name !== 'segmentsIn' && name !== 'segmentsOut') as Counter[];

export function outcome(situation: Situation, act: (situation: Situation) => void): string {
  const { bench, stream } = situation;
  assert.deepEqual(bench.drain(), [], 'what was sent on the way is settled');
  const counters: Record<Counter, number> = Object.assign({}, bench.counters);
  const streams = bench.host.streams.length;
  const host = stream === undefined ? undefined : look(stream);
  const unreachable = bench.unreachable.length;
  const before = stateOf(bench);
  act(situation);
  const parts = repeated(bench.drain().map((sent) => describe(situation, sent)));
  if (bench.unreachable.length > unreachable) parts.push('ICMP unreachable');
  if (bench.host.streams.length > streams) parts.push('host dialled');
  if (stream !== undefined && host !== undefined) parts.push(...hostChanges(host, look(stream)));
  for (const name of COUNTERS) {
    const moved = bench.counters[name] - counters[name];
    if (moved > 0) parts.push(moved === 1 ? name : `${name} ${moved}`);
  }
  const after = stateOf(bench);
  parts.push(after === before ? 'stays' : after);
  if (bench.engine.size === 0) assertNothingLeft(bench);
  return parts.join('; ');
}

function assertNothingLeft(bench: Bench): void {
  assert.ok(
    bench.host.streams.every(({ closed }) => closed),
    'an endpoint is left open',
  );
  assert.equal(bench.arena.lent, 0, 'memory is left lent');
}

interface HostView {
  written: string;
  discarded: number;
  shut: boolean;
  closed: boolean;
  wasReset: boolean;
  watched: boolean;
}

function look(stream: FakeStream): HostView {
  const { discarded, shut, closed, wasReset, watched } = stream;
  return { written: stream.written.toString(), discarded, shut, closed, wasReset, watched };
}

function hostChanges(before: HostView, after: HostView): string[] {
  const changes: string[] = [];
  const got = after.written.slice(before.written.length);
  if (got !== '') changes.push(`host gets ${short(got)}`);
  if (after.discarded > before.discarded) changes.push(`host rid of ${after.discarded - before.discarded}`);
  if (after.watched && !before.watched) changes.push('host watched');
  if (after.shut && !before.shut) changes.push('host shut');
  if (after.wasReset && !before.wasReset) changes.push('host reset');
  else if (after.closed && !before.closed) changes.push('host closed');
  return changes;
}

function stateOf(bench: Bench): string {
  const [flow, ...others] = bench.engine;
  assert.equal(others.length, 0);
  if (flow === undefined) return 'gone';
  const name = Object.entries(State).find(([, value]) => value === flow.state)![0];
  const done = flow.state === State.CLOSED || flow.state === State.TIME_WAIT;
  return done && flow.endpoint !== null ? `${name}_BEHIND` : name;
}

function describe({ r, s }: Situation, sent: Sent): string {
  const words = [names(sent.flags)];
  const seq = relative('seq', 's', sent.seq, s);
  if (seq !== (sent.flags & SYN ? 'seq s-1' : 'seq s')) words.push(sent.flags & SYN ? 'seq new' : seq);
  const ack = relative('ack', 'r', sent.ack, r);
  if (sent.flags & ACK && ack !== 'ack r') words.push(ack);
  if (sent.data.length > 0) words.push(short(sent.data.toString()));
  if (sent.window === 0 && (sent.flags & RST) === 0) words.push('window 0');
  return words.join(' ');
}

function relative(field: string, name: string, value: number, to: number): string {
  const distance = (value - to) | 0;
  if (distance === 0) return `${field} ${name}`;
  if (value === 0) return `${field} 0`;
  if (Math.abs(distance) > NEAR) return `${field} ${value}`;
  return `${field} ${name}${distance > 0 ? '+' : ''}${distance}`;
}

function short(text: string): string {
  return text.length > 12 ? `${text.length} bytes` : text;
}

/** Runs of the same line as one, with how many there were. */
function repeated(lines: string[]): string[] {
  const runs: { line: string; count: number }[] = [];
  for (const line of lines) {
    const last = runs.at(-1);
    if (last?.line === line) last.count++;
    else runs.push({ line, count: 1 });
  }
  return runs.map(({ line, count }) => (count === 1 ? line : `${line} ×${count}`));
}
