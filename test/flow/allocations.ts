/**
 * A million frames of each kind of traffic, and what the heap grew by: one line of JSON a kind. Its process has a new space so large
 * that nothing is collected meanwhile (see allocation.test.ts).
 */
import { TRAFFIC } from '../../bench/micro/frame-traffic.ts';
import { allocated } from '../../bench/micro/measure.ts';

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
