/** Which names the gateway's DNS has answered to each VM with which addresses: what tells afterwards where a connection was meant to go. */
import { decode } from 'dns-packet';
import type { Vm } from '../../flow/listener.ts';

/** Addresses remembered of a VM, and names of each: the oldest go. */
export const ADDRESS_LIMIT = 1024;
const NAME_LIMIT = 8;
/** Milliseconds that a name is remembered: as long as the answer may be kept, within these. Programs connect to what they were told before. */
const SHORTEST = 60_000;
const LONGEST = 24 * 3_600_000;

/** Name → when it is forgotten, in milliseconds on the clock. */
type Names = Map<string, number>;

export class AnsweredNames {
  readonly #now: () => number;
  /** By address, as text. */
  readonly #known: WeakMap<Vm, Map<string, Names>> = new WeakMap();

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Takes in an answer; what can't be read tells nothing. */
  learn(answer: Uint8Array, vm: Vm): void {
    for (const { address, names, ttl } of readAddresses(answer)) {
      let addresses = this.#known.get(vm);
      if (addresses === undefined) this.#known.set(vm, (addresses = new Map()));
      const known = addresses.get(address) ?? new Map<string, number>();
      // To the end of the order in which they are forgotten.
      addresses.delete(address);
      addresses.set(address, known);
      const until = this.#now() + Math.min(Math.max(ttl * 1000, SHORTEST), LONGEST);
      for (const name of names) {
        known.delete(name);
        known.set(name, until);
      }
      shorten(known, NAME_LIMIT);
      shorten(addresses, ADDRESS_LIMIT);
    }
  }

  /** Names that `vm` was told this address for, the last first: in lower case, without the final dot. */
  of(vm: Vm, address: string): string[] {
    const now = this.#now();
    const names = this.#known.get(vm)?.get(address) ?? [];
    return [...names]
      .filter(([, until]) => until > now)
      .map(([name]) => name)
      .toReversed();
  }
}

function shorten(map: Map<string, unknown>, limit: number): void {
  for (const key of map.keys()) {
    if (map.size <= limit) return;
    map.delete(key);
  }
}

interface Answered {
  readonly address: string;
  /** The owner of the record and, where aliases led there, the name that was asked for. */
  readonly names: readonly string[];
  /** Seconds. */
  readonly ttl: number;
}

function readAddresses(answer: Uint8Array): Answered[] {
  try {
    const { questions = [], answers = [] } = decode(Buffer.from(answer.buffer, answer.byteOffset, answer.byteLength));
    const asked = questions.map(({ name }) => name.toLowerCase());
    return answers.flatMap((record) => {
      if (record.type !== 'A' && record.type !== 'AAAA') return [];
      return [{ address: record.data, names: [...new Set([record.name.toLowerCase(), ...asked])], ttl: record.ttl ?? 0 }];
    });
  } catch {
    return [];
  }
}
