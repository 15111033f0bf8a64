/** Questions for a neighbour's MAC address that wait for their answer. */
import type { Mac } from '../packet/mac.ts';
import type { Scheduler } from './wire.ts';

/** Milliseconds until nobody answers. */
const TIMEOUT = 1000;

type Answer = (mac: Mac | undefined) => void;

export class Resolutions<Address> {
  readonly #scheduler: Scheduler;
  readonly #waiting: Map<Address, { readonly answers: Answer[]; readonly cancel: () => void }> = new Map();

  constructor(scheduler: Scheduler) {
    this.#scheduler = scheduler;
  }

  /** True when `address` is to be asked for now; false when it has been. `answer` gets undefined when nobody answers in time. */
  add(address: Address, answer: Answer): boolean {
    const waiting = this.#waiting.get(address);
    if (waiting !== undefined) {
      waiting.answers.push(answer);
      return false;
    }
    const cancel = this.#scheduler.after(TIMEOUT, () => this.settle(address, undefined));
    this.#waiting.set(address, { answers: [answer], cancel });
    return true;
  }

  settle(address: Address, mac: Mac | undefined): void {
    const waiting = this.#waiting.get(address);
    if (waiting === undefined) return;
    waiting.cancel();
    this.#waiting.delete(address);
    for (const answer of waiting.answers) answer(mac);
  }
}
