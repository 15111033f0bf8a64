/** Initial sequence numbers (RFC 6528 §3): a clock of 4 µs steps plus a keyed hash of the connection's addresses and ports. */
import type { Random } from '../../runtime/clock.ts';
import type { TimerWheel } from '../../runtime/timer-wheel.ts';
import type { TcpFlow } from './flow.ts';

export class InitialSequence {
  readonly #secret: number;
  readonly #timers: TimerWheel;
  /** How far the numbers are ahead of the clock. */
  #ahead = 0;

  constructor(random: Random, timers: TimerWheel) {
    this.#secret = random.word();
    this.#timers = timers;
  }

  /** The table's hash is keyed and never shown. */
  of(flow: TcpFlow): number {
    let hash = Math.imul(flow.hash ^ this.#secret, 0x9e3779b1);
    hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca77);
    hash ^= hash >>> 13;
    return (Math.floor(this.#timers.now * 250) + this.#ahead + hash) | 0;
  }

  /** RFC 9293 §3.6.1, MAY-2: a connection that takes the place of `last` begins beyond it, also when that was faster than the clock. */
  pass(last: TcpFlow): void {
    const behind = (last.sndMax - this.of(last)) | 0;
    if (behind >= 0) this.#ahead = (this.#ahead + behind + 1) | 0;
  }
}
