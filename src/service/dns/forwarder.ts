/**
 * Passes queries on to the host's resolvers as bytes and their answers back, in the order of resolv.conf.
 *
 * Each attempt has an id of its own and a socket of its own, and an answer must repeat the question: what a stranger would
 * have to guess (RFC 5452).
 */
import { setU16 } from '../../packet/bytes.ts';
import type { Random } from '../../runtime/clock.ts';
import type { Vm } from '../../flow/listener.ts';
import { FairShares } from '../../runtime/fair-shares.ts';
import { emptyAnswer, isTruncated, matches, type Query, RCODE_SERVER_FAILURE } from './message.ts';
import type { Upstream } from './upstream.ts';

/** Milliseconds for one attempt, and rounds over all servers. */
const TIMEOUT = 2500;
const ROUNDS = 2;
/** Queries under way at once. A VM has its share: names of an attacker's own, whose resolver is slow, must not use up all. */
export const IN_FLIGHT_LIMIT = 1024;

export class ForwarderCounters {
  forwarded = 0;
  answered = 0;
  failed = 0;
  overloaded = 0;
}

export class Forwarder {
  readonly counters: ForwarderCounters = new ForwarderCounters();
  readonly #upstream: Upstream;
  readonly #servers: () => readonly string[];
  readonly #random: Random;
  readonly #shares: FairShares<Vm> = new FairShares(IN_FLIGHT_LIMIT);

  constructor(upstream: Upstream, servers: () => readonly string[], random: Random) {
    this.#upstream = upstream;
    this.#servers = servers;
    this.#random = random;
  }

  /** Never rejects: what can't be answered is SERVFAIL. `overTcp`: the client can take an answer of any size. */
  async forward(query: Query, overTcp: boolean, vm: Vm): Promise<Uint8Array> {
    const failure = emptyAnswer(query.bytes, query.questionEnd, RCODE_SERVER_FAILURE);
    if (!this.#shares.take(vm)) {
      this.counters.overloaded++;
      return failure;
    }
    this.counters.forwarded++;
    try {
      return (await this.#ask(query, overTcp)) ?? failure;
    } finally {
      this.#shares.give(vm);
    }
  }

  async #ask(query: Query, overTcp: boolean): Promise<Uint8Array | undefined> {
    for (let round = 0; round < ROUNDS; round++) {
      for (const server of this.#servers()) {
        const answer = await this.#askOne(server, query, overTcp).catch(() => undefined);
        if (answer === undefined) continue;
        this.counters.answered++;
        return answer;
      }
    }
    this.counters.failed++;
    return undefined;
  }

  async #askOne(server: string, query: Query, overTcp: boolean): Promise<Uint8Array> {
    const id = this.#random.word() & 0xffff;
    const bytes = new Uint8Array(query.bytes);
    setU16(bytes, 0, id);
    const accept = (answer: Uint8Array): boolean => matches(answer, query, id);
    let answer = await this.#upstream.askUdp(server, bytes, TIMEOUT, accept);
    if (overTcp && isTruncated(answer)) answer = await this.#upstream.askTcp(server, bytes, TIMEOUT, accept);
    const restored = new Uint8Array(answer);
    setU16(restored, 0, query.id);
    return restored;
  }
}
