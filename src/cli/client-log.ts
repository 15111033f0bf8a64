/** What the log says of VMs and clients that come and go: one that does nothing else must not fill the disk. */
import { RateLimit } from '../runtime/rate-limit.ts';
import type { LogLevel } from '../config/log-level.ts';
import type { Log } from './log.ts';

/** What a restart of every VM comes to is told whole. */
const LINES_AT_ONCE = 200;
const LINES_PER_SECOND = 1;

export class ClientLog {
  readonly #log: Pick<Log, 'record' | 'writes'>;
  readonly #now: () => number;
  readonly #limit: RateLimit<this> = new RateLimit(LINES_PER_SECOND, LINES_AT_ONCE);
  #left = 0;

  /** `now` in milliseconds. */
  constructor(log: Pick<Log, 'record' | 'writes'>, now: () => number = () => performance.now()) {
    this.#log = log;
    this.#now = now;
  }

  /** Written, or counted for the next line that is. */
  record(level: LogLevel, message: string): void {
    if (!this.#log.writes(level)) return;
    if (!this.#limit.take(this, this.#now())) return void this.#left++;
    if (this.#left > 0) this.#log.record('warning', `${this.#left} lines about clients that came and went were left out`);
    this.#left = 0;
    this.#log.record(level, message);
  }
}
