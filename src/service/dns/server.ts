/**
 * The DNS server on the gateway (contract §12): its own zones first, then the host's hosts file, then the host's resolvers.
 */
import { setU16, u16 } from '../../packet/bytes.ts';
import type { Duplex } from 'node:stream';
import type { Listener, ServiceHost } from '../../flow/listener.ts';
import { Timer, type TimerWheel } from '../../runtime/timer-wheel.ts';
import type { Vm } from '../../flow/listener.ts';
import { Connections } from './connections.ts';
import type { Forwarder } from './forwarder.ts';
import type { HostNames } from './host-files.ts';
import {
  emptyAnswer,
  HEADER,
  QUERY_LIMIT,
  type Query,
  RCODE_NAME_ERROR,
  RCODE_SERVER_FAILURE,
  readQuery,
  recordAnswer,
  truncate,
  TYPE_A,
  TYPE_AAAA,
  TYPE_PTR,
} from './message.ts';
import { PatternSearch } from './pattern-search.ts';
import type { Zones } from './zones.ts';

const PORT = 53;
/** Contract §12.1: milliseconds to the first query of a connection and between queries, queries per connection. */
const FIRST_TIMEOUT = 2000;
const IDLE_TIMEOUT = 8000;
const PER_CONNECTION = 128;
/** Connections at once. */
export const CONNECTION_LIMIT = 64;

export interface DnsOptions {
  readonly zones: Zones;
  readonly hosts: () => HostNames;
  readonly forwarder: Forwarder;
  readonly timers: TimerWheel;
  /** Milliseconds that the process has had on processors. */
  readonly processorTime: () => number;
}

export class DnsCounters {
  queries = 0;
  local = 0;
  malformed = 0;
  truncated = 0;
  /** Connections that were closed for others. */
  crowdedOut = 0;
}

export class DnsServer {
  readonly counters: DnsCounters = new DnsCounters();
  /** Sees each answer before it leaves; null: nobody does. */
  onAnswer: ((answer: Uint8Array, vm: Vm) => void) | null = null;
  readonly #options: DnsOptions;
  readonly #listeners: Listener[] = [];
  readonly #connections: Connections = new Connections(CONNECTION_LIMIT);
  readonly #search: PatternSearch;
  #isClosed = false;

  constructor(options: DnsOptions) {
    this.#options = options;
    this.#search = new PatternSearch(() => options.timers.now, options.processorTime);
  }

  listen(host: ServiceHost): void {
    this.#listeners.push(
      host.listenDatagram(PORT, (payload, { vm }, reply) => {
        void this.#answerUdp(payload, vm, reply);
      }),
      host.listenStream(PORT, (connection, { vm }) => this.#serve(connection, vm)),
    );
  }

  close(): void {
    this.#isClosed = true;
    for (const listener of this.#listeners) listener.close();
  }

  async #answerUdp(payload: Uint8Array, vm: Vm, reply: (answer: Uint8Array) => void): Promise<void> {
    const answer = await this.answer(payload, false, vm);
    if (answer !== undefined && !this.#isClosed) reply(answer);
  }

  /** The answer to one query of `vm`; undefined when it must not be answered. Never rejects. */
  async answer(bytes: Uint8Array, overTcp: boolean, vm: Vm): Promise<Uint8Array | undefined> {
    this.counters.queries++;
    const query = readQuery(bytes);
    if (query === undefined || typeof query === 'number') {
      this.counters.malformed++;
      return query === undefined ? undefined : emptyAnswer(bytes, HEADER, query);
    }
    const answer = this.#local(query, vm) ?? (await this.#options.forwarder.forward(query, overTcp, vm));
    this.onAnswer?.(answer, vm);
    if (overTcp || answer.length <= query.limit) return answer;
    this.counters.truncated++;
    return truncate(answer, query);
  }

  #local(query: Query, vm: Vm): Uint8Array | undefined {
    const { zones, hosts } = this.#options;
    const answer = zones.answer(query.name, query.type, (pattern, name) => this.#search.search(pattern, name, vm));
    if (answer !== undefined) {
      this.counters.local++;
      if (answer === 'too slow') return emptyAnswer(query.bytes, query.questionEnd, RCODE_SERVER_FAILURE);
      if (answer === 'nxdomain') return emptyAnswer(query.bytes, query.questionEnd, RCODE_NAME_ERROR);
      return recordAnswer(query, query.type, answer);
    }
    const known = fromHosts(hosts(), query);
    if (known === undefined) return undefined;
    this.counters.local++;
    return recordAnswer(query, query.type, known);
  }

  /** RFC 7766: queries with a length in front, answered in order. */
  #serve(connection: Duplex, vm: Vm): void {
    const crowdedOut = this.#connections.add(connection, vm);
    if (crowdedOut !== undefined) {
      this.counters.crowdedOut++;
      crowdedOut.destroy();
    }
    const { timers } = this.#options;
    const timer = new Timer(() => connection.destroy());
    timers.arm(timer, FIRST_TIMEOUT);
    connection.on('error', () => {
      // The guest has reset the connection: `close` follows.
    });
    connection.once('close', () => {
      timers.cancel(timer);
      this.#connections.delete(connection, vm);
    });
    void this.#converse(connection, timer, vm);
  }

  async #converse(connection: Duplex, timer: Timer, vm: Vm): Promise<void> {
    let pending = Buffer.alloc(0);
    const { timers } = this.#options;
    let taken = 0;
    try {
      // The connection stays open for the answer when the guest has finished asking.
      for await (const chunk of connection.iterator({ destroyOnReturn: false })) {
        pending = Buffer.concat([pending, chunk as Buffer]);
        while (pending.length >= 2 && pending.length >= 2 + u16(pending, 0)) {
          const query = Uint8Array.from(pending.subarray(2, 2 + u16(pending, 0)));
          pending = pending.subarray(2 + query.length);
          // The time that resolvers take is not the guest's.
          timers.cancel(timer);
          this.#connections.used(connection, vm);
          const answer = await this.answer(query, true, vm);
          if (connection.destroyed) return;
          timers.arm(timer, IDLE_TIMEOUT);
          // A guest that asks and doesn't read must not pile up answers.
          if (answer !== undefined && !connection.write(framed(answer))) await drained(connection);
          if (++taken < PER_CONNECTION) continue;
          connection.end();
          connection.resume();
          return;
        }
        // Not worth gathering: in segments of a byte it would be copied once a byte.
        if (pending.length >= 2 && u16(pending, 0) > QUERY_LIMIT) {
          this.counters.malformed++;
          connection.destroy();
          return;
        }
      }
      connection.end();
    } catch {
      connection.destroy();
    }
  }
}

/** What the host's file says about the question; undefined when it doesn't know. A name without such an address has none. */
function fromHosts(hosts: HostNames, { name, type }: Query): readonly Uint8Array[] | undefined {
  const key = name.toLowerCase();
  if (type === TYPE_PTR) return hosts.pointers.get(key);
  if (type !== TYPE_A && type !== TYPE_AAAA) return undefined;
  const size = type === TYPE_A ? 4 : 16;
  return hosts.addresses.get(key)?.filter(({ length }) => length === size);
}

/** Resolves when more can be written, or never will be. */
function drained(connection: Duplex): Promise<void> {
  return new Promise((resolve) => {
    connection.once('drain', resolve);
    connection.once('close', resolve);
  });
}

function framed(answer: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(2 + answer.length);
  setU16(bytes, 0, answer.length);
  bytes.set(answer, 2);
  return bytes;
}
