/** What a soft guest is plugged into, and what it measures time with. */

export interface Wire {
  /** Sends one Ethernet frame. False: full; `drained` of the guest is called when it may try again. */
  send(frame: Uint8Array): boolean;
}

/** Calls back once after `ms` milliseconds; the result cancels. */
export type Delay = (ms: number, run: () => void) => () => void;

export interface Scheduler {
  /** Milliseconds, monotonic. */
  now(): number;
  readonly after: Delay;
}

/** A scheduler for tests: time moves when told. */
export class ManualScheduler implements Scheduler {
  #now = 0;
  #waiting: { at: number; run: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  readonly after: Delay = (ms, run) => {
    const entry = { at: this.#now + ms, run };
    this.#waiting.push(entry);
    return () => {
      this.#waiting = this.#waiting.filter((other) => other !== entry);
    };
  };

  advance(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      const next = this.#waiting.filter(({ at }) => at <= end).toSorted((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.#waiting = this.#waiting.filter((other) => other !== next);
      this.#now = next.at;
      next.run();
    }
    this.#now = end;
  }
}
