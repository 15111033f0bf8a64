/** A connection seen as segments that are numbered from 0, for scripts of loss and recovery. */
import { ACK, Bench, type Sent, SYN } from './bench.ts';
import type { FakeStream } from './fake-host.ts';

export const MSS: number = 1460;

/** Segments `from` to `to` of the flow, as a range. */
type Range = [from: number, to: number];

/** A connection whose round trip was measured as 20 ms; segments are counted from 0. */
export class Sender {
  readonly bench: Bench = new Bench();
  readonly stream: FakeStream;
  readonly #start: number;

  constructor(sack = true) {
    const { bench } = this;
    bench.guest({ flags: SYN, options: { sack, scale: 4 } });
    bench.expect({ flags: SYN | ACK });
    bench.later(20);
    bench.guest({});
    this.stream = bench.stream;
    this.#start = bench.ack;
  }

  /** The host has `count` segments more; those that go out. */
  put(count: number): number[] {
    this.stream.put('y'.repeat(count * MSS));
    this.bench.round();
    return this.sent();
  }

  /** The guest acknowledges everything before segment `una`, and reports ranges. Returns what goes out. */
  ack(una: number, ...sack: Range[]): number[] {
    this.bench.guest({ ack: this.#at(una), sack: sack.map(([from, to]) => [this.#at(from), this.#at(to)]) });
    return this.sent();
  }

  /** What goes out within `ms`. */
  later(ms: number): number[] {
    this.bench.later(ms);
    return this.sent();
  }

  sent(): number[] {
    return this.bench.drain().flatMap(({ seq, data }: Sent) => {
      const first = (seq - this.#start) / MSS;
      return Array.from({ length: Math.ceil(data.length / MSS) }, (_, i) => first + i);
    });
  }

  get counters(): Bench['counters'] {
    return this.bench.counters;
  }

  #at(segment: number): number {
    return (this.#start + segment * MSS) | 0;
  }
}
