/**
 * Nanoseconds and allocated bytes of one operation. Nanoseconds are of processor time: others on the same machine don't count.
 *
 * What is allocated is what the heap in use grows by while nothing is collected: run with a new space larger than that
 * (scripts/bench.mjs does), and with --expose-gc, so that each count begins with an empty one.
 */
import { PerformanceObserver } from 'node:perf_hooks';
import { setImmediate } from 'node:timers/promises';
import { getHeapStatistics } from 'node:v8';

/** Milliseconds of one repeat; repeats, of which the median counts. */
const REPEAT = 20;
const REPEATS = 9;
const WARM_UP = 200;
/** Operations whose allocations are counted. */
const COUNTED = 100_000;

export interface Subject {
  readonly name: string;
  /** Of one operation. Default 1. */
  readonly frames?: number;
  /** Runs the operation `times` times: the loop is the subject's, so that no call is counted. */
  run(times: number): void;
}

export interface Measurement {
  readonly name: string;
  readonly nanoseconds: number;
  readonly bytes: number;
}

export async function measure(subject: Subject): Promise<Measurement> {
  const times = warmUp(subject);
  const samples: number[] = [];
  for (let i = 0; i < REPEATS; i++) {
    const started = process.cpuUsage();
    subject.run(times);
    const { user, system } = process.cpuUsage(started);
    samples.push(((user + system) * 1000) / times);
  }
  const bytes = await allocated(() => subject.run(COUNTED));
  samples.sort((a, b) => a - b);
  return { name: subject.name, nanoseconds: samples[REPEATS >> 1]!, bytes: bytes / COUNTED };
}

/** Until it is compiled as it stays. Returns how often it runs in one repeat. */
function warmUp(subject: Subject): number {
  let times = 1;
  const end = performance.now() + WARM_UP;
  for (;;) {
    const started = performance.now();
    subject.run(times);
    const took = performance.now() - started;
    if (took < REPEAT) times *= 2;
    else if (performance.now() > end) return times;
  }
}

/** Bytes of the heap that `run` allocates. Rejects without --expose-gc, and when something was collected meanwhile. */
export async function allocated(run: () => void): Promise<number> {
  if (globalThis.gc === undefined) throw new Error('allocations are counted with --expose-gc');
  globalThis.gc();
  let collections = 0;
  const observer = new PerformanceObserver((list) => (collections += list.getEntries().length));
  // The collection that was asked for is not one of those that count.
  await setImmediate();
  observer.observe({ entryTypes: ['gc'] });
  const before = getHeapStatistics().used_heap_size;
  run();
  const bytes = getHeapStatistics().used_heap_size - before;
  await setImmediate();
  await setImmediate();
  observer.disconnect();
  if (collections > 0) throw new Error('more was allocated than fits into the new space');
  return bytes;
}
