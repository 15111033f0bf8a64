/** A DNS server of the host that answers what a step says: late, wrongly, with a stranger's bytes, or never. */
import { setU16, u16 } from '../../src/packet/bytes.ts';
import { Timer, type TimerWheel } from '../../src/runtime/timer-wheel.ts';
import type { Upstream } from '../../src/service/dns/upstream.ts';

interface Asked {
  readonly query: Uint8Array;
  readonly accept: (answer: Uint8Array) => boolean;
  readonly resolve: (answer: Uint8Array) => void;
  readonly reject: (error: Error) => void;
  readonly timer: Timer;
}

export class HostileUpstream implements Upstream {
  readonly #timers: TimerWheel;
  readonly #asked: Asked[] = [];

  constructor(timers: TimerWheel) {
    this.#timers = timers;
  }

  get waiting(): number {
    return this.#asked.length;
  }

  askUdp(_server: string, query: Uint8Array, timeout: number, accept: (answer: Uint8Array) => boolean): Promise<Uint8Array> {
    return this.#ask(query, timeout, accept);
  }

  askTcp(_server: string, query: Uint8Array, timeout: number, accept: (answer: Uint8Array) => boolean): Promise<Uint8Array> {
    return this.#ask(query, timeout, accept);
  }

  #ask(query: Uint8Array, timeout: number, accept: (answer: Uint8Array) => boolean): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const timer = new Timer(() => this.#end(asked, () => reject(new Error('no answer'))));
      const asked: Asked = { query: Uint8Array.from(query), accept, resolve, reject, timer };
      this.#asked.push(asked);
      this.#timers.arm(timer, timeout);
    });
  }

  #end(asked: Asked, settle: () => void): void {
    this.#timers.cancel(asked.timer);
    this.#asked.splice(this.#asked.indexOf(asked), 1);
    settle();
  }

  /** Answers one of those who wait, in the way that `how` says; `value` and `length` are for what is made up. */
  answer(which: number, how: number, value: number, length: number): void {
    const asked = this.#asked[which % this.#asked.length];
    if (asked === undefined) return;
    if (how % 8 === 7) return this.#end(asked, () => asked.reject(new Error('connection refused')));
    const answer = reply(asked.query, how, value, length);
    if (asked.accept(answer)) this.#end(asked, () => asked.resolve(answer));
  }
}

/** An answer with a record behind the question, or one that is spoiled. */
function reply(query: Uint8Array, how: number, value: number, length: number): Uint8Array {
  const record = Uint8Array.of(0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 9, 9, 9, 9);
  const answer = Buffer.concat([query, record]);
  setU16(answer, 2, u16(query, 2) | 0x8080);
  setU16(answer, 6, 1);
  switch (how % 8) {
    case 1: // Truncated: ask again over TCP.
      setU16(answer, 2, u16(answer, 2) | 0x0200);
      return answer;
    case 2:
      return answer.subarray(0, length % (answer.length + 1));
    case 3:
      return Buffer.concat([answer, new Uint8Array(length).fill(value)]);
    case 4:
      answer[(length * 7) % answer.length]! ^= value | 1;
      return answer;
    case 5: // Longer than any UDP answer.
      return Buffer.concat([answer, new Uint8Array(65_000)]);
    case 6:
      return new Uint8Array(length % 600).fill(value);
    default:
      return answer;
  }
}
