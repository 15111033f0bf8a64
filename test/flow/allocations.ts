/**
 * A million frames of each kind of traffic, and what the heap grew by: one line of JSON a kind. Its process has a new space so large
 * that nothing is collected meanwhile (see allocation.test.ts).
 */
import { TRAFFIC } from '../../bench/micro/frame-traffic.ts';
import { allocated } from '../../bench/micro/measure.ts';
import { SWITCHED } from '../../bench/micro/switched.ts';
import { ReceiveRegion } from '../../src/link/receive-region.ts';
import type { StreamPort } from '../../src/link/stream-port.ts';
import { StreamPorts } from '../../src/link/stream-ports.ts';
import { Arena } from '../../src/runtime/arena.ts';
import { TimerWheel } from '../../src/runtime/timer-wheel.ts';
import type { Phase, TurnLoop } from '../../src/runtime/turn-loop.ts';

const FRAMES = 1_000_000;
/** Enough for the code to be compiled as it stays. */
const WARM_UP = 300_000;

for (const begin of TRAFFIC) {
  const { name, network, turn } = begin();
  const run = (frames: number): void => {
    for (const end = network.frames + frames; network.frames < end;) turn();
  };
  run(WARM_UP);
  const { frames, rounds } = network;
  const bytes = await allocated(() => run(FRAMES));
  console.log(JSON.stringify({ name, bytes, frames: network.frames - frames, rounds: network.rounds - rounds }));
}

for (const begin of SWITCHED) {
  const subject = begin();
  const { name, frames = 1 } = subject;
  const times = Math.ceil(FRAMES / frames);
  subject.run(WARM_UP / frames);
  const bytes = await allocated(() => subject.run(times));
  console.log(JSON.stringify({ name, bytes, frames: times * frames, rounds: 0 }));
}

/** The listener's part of a round in which a VM is sent a frame. The loop's is left out: only the phase is kept. */
const phases: Phase[] = [];
const nothing = (): void => {};
const loop = {
  watch: () => 0,
  unwatch: nothing,
  runSoon: nothing,
  phase: (run: Phase) => {
    phases.push(run);
    return nothing;
  },
  timers: new TimerWheel(0),
};
const events = { connected: nothing, disconnected: nothing };
const receiver = { frame: nothing, endOfBatch: nothing, drained: nothing, attached: nothing, detached: nothing };
const arena = new Arena(8 << 20);
const ports = new StreamPorts(new ReceiveRegion(arena, 1 << 20), {
  loop: loop as unknown as TurnLoop,
  arena,
  receiver,
  events,
  nextId: () => 0,
});
const port = { flush: () => false } as unknown as StreamPort;
const write = (rounds: number): void => {
  for (let i = 0; i < rounds; i++) {
    ports.dirty(port);
    phases[0]!();
  }
};
write(WARM_UP);
const bytes = await allocated(() => write(FRAMES));
console.log(JSON.stringify({ name: 'stream link, a frame a round', bytes, frames: FRAMES, rounds: FRAMES }));
ports.close('done');
