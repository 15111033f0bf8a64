/**
 * Searches names for a zone's patterns, in bounded time.
 *
 * A pattern is the configuration's, but a name is the guest's: with the right name JavaScript's regular expressions backtrack for
 * hours (`(a+)+$`), and every VM would wait. A search that takes too long is given up, and the VM that asked is not searched for
 * again for a while, so that it can't hold up the others by asking again and again.
 */
import { createContext, Script } from 'node:vm';
import type { Vm } from '../../flow/listener.ts';
import type { NamePattern } from '../../network-options.ts';

/** Milliseconds for one search; a sound one takes microseconds. */
const SEARCH_TIME = 50;
/** Of a search in whose time the process had less than half of a processor. */
const TRIES = 3;
/** Milliseconds without a search for the VM that asked. */
const PAUSE = 10_000;

/** The one way to interrupt a regular expression; about 100 µs a search, for the few zones that have patterns. */
const context = createContext({ pattern: /(?:)/, name: '' }) as { pattern: NamePattern; name: string };
// `search` ignores where a global pattern stopped last time.
const script = new Script('name.search(pattern) >= 0');

export class PatternSearch {
  /** VM → when it is searched for again. */
  readonly #paused: WeakMap<Vm, number> = new WeakMap();
  readonly #now: () => number;
  readonly #processorTime: () => number;

  /** Both in milliseconds: of the network's clock, and that the process has had on processors. */
  constructor(now: () => number, processorTime: () => number) {
    this.#now = now;
    this.#processorTime = processorTime;
  }

  /** Whether `pattern` is in `name`; undefined when that can't be said in time. */
  search(pattern: NamePattern, name: string, vm: Vm): boolean | undefined {
    // RE2 takes linear time.
    if (!(pattern instanceof RegExp)) return pattern[Symbol.search](name) >= 0;
    if (this.#now() < (this.#paused.get(vm) ?? -Infinity)) return undefined;
    context.pattern = pattern;
    context.name = name;
    for (let tries = 0; tries < TRIES; tries++) {
      const before = this.#processorTime();
      try {
        return script.runInContext(context, { timeout: SEARCH_TIME }) as boolean;
      } catch {
        // A busy machine must not look like a hostile name.
        if (this.#processorTime() - before > SEARCH_TIME / 2) break;
      }
    }
    this.#paused.set(vm, this.#now() + PAUSE);
    return undefined;
  }
}
