/** Connects from within this process to a guest, as a client on the gateway's address (contract §9.3). */
import type { Duplex } from 'node:stream';
import { formatEndpoint, type IpAddress } from '../packet/address.ts';
import type { Arena } from '../runtime/arena.ts';
import { Timer, type TimerWheel } from '../runtime/timer-wheel.ts';
import { DuplexEndpoint } from '../host/duplex-endpoint.ts';
import type { NeighbourTable } from '../gateway/neighbour.ts';
import type { TcpEngine } from './tcp/engine.ts';
import { ArgumentError, checkSignal, NetworkError } from '../errors.ts';

/** Contract §9.3. */
const TIMEOUT = 10_000;
/** A day, in milliseconds. */
const LONGEST = 86_400_000;

export interface DialOptions {
  /** Milliseconds until the guest must have answered, a day at most. Default 10,000. */
  readonly timeout?: number;
  /** Gives up; the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** Why no connection came about; ENOBUFS: the flow table is full. */
export const DIAL_ERRORS = ['ECONNREFUSED', 'EHOSTUNREACH', 'ETIMEDOUT', 'ENOBUFS'] as const;
export type DialErrorCode = (typeof DIAL_ERRORS)[number];

export class DialError extends Error {
  override readonly name: string = 'DialError';
  readonly code: DialErrorCode;

  constructor(code: DialErrorCode, target: string, reason: string) {
    super(`connect tcp ${target}: ${reason}`);
    this.code = code;
  }
}

export class GuestDialer {
  readonly #arena: Arena;
  readonly #timers: TimerWheel;
  readonly #tcp: TcpEngine;
  readonly #neighbours: NeighbourTable;
  readonly #sourceFor: (guest: IpAddress) => IpAddress;
  readonly #handed: () => void;
  /** Those that wait for their guest; called with the reason they end before it answers. */
  readonly #waiting: Set<(error: Error) => void> = new Set();

  /** `sourceFor`: where a guest sees its connections come from. `handed`: see TurnLoop.handedToNode. */
  constructor(
    arena: Arena,
    timers: TimerWheel,
    tcp: TcpEngine,
    neighbours: NeighbourTable,
    sourceFor: (guest: IpAddress) => IpAddress,
    handed: () => void,
  ) {
    this.#arena = arena;
    this.#timers = timers;
    this.#tcp = tcp;
    this.#neighbours = neighbours;
    this.#sourceFor = sourceFor;
    this.#handed = handed;
  }

  /** Resolves with a stream whose ends are independent (half-close). Rejects with DialError, ArgumentError, or the signal's reason. */
  async dial(address: IpAddress, port: number, { timeout = TIMEOUT, signal }: DialOptions = {}): Promise<Duplex> {
    checkSignal(signal);
    if (!(timeout >= 0 && timeout <= LONGEST))
      throw new ArgumentError(`timeout wants milliseconds, from 0 to ${LONGEST}, not ${String(timeout)}`);
    const target = formatEndpoint(address, port);
    const endpoint = new DuplexEndpoint(this.#arena, this.#handed);
    const { duplex } = endpoint;
    return new Promise((resolve, reject) => {
      const settle = (error: unknown): void => {
        this.#timers.cancel(timer);
        this.#waiting.delete(settle);
        signal?.removeEventListener('abort', abort);
        duplex.off('error', refused);
        duplex.off('close', refused);
        if (error === undefined) return resolve(duplex);
        // The flow hears of it, and resets what the guest may have half open.
        duplex.on('error', () => {});
        duplex.destroy();
        reject(error);
      };
      const refused = (): void => settle(new DialError('ECONNREFUSED', target, 'connection was refused'));
      const abort = (): void => settle(signal!.reason);
      const timer = new Timer(() => settle(new DialError('ETIMEDOUT', target, 'operation timed out')));
      this.#timers.arm(timer, timeout);
      signal?.addEventListener('abort', abort);
      duplex.on('error', refused);
      duplex.on('close', refused);
      this.#waiting.add(settle);
      this.#neighbours.resolve(address.w0, address.w1, address.w2, address.w3, (neighbour) => {
        if (duplex.destroyed) return;
        if (neighbour === null) return settle(new DialError('EHOSTUNREACH', target, 'no route to host'));
        const flow = this.#tcp.connect(neighbour, port, this.#sourceFor(address), 0, endpoint);
        if (flow === null) return settle(new DialError('ENOBUFS', target, 'no buffer space available (the flow table is full)'));
        flow.onEstablished = () => settle(undefined);
      });
    });
  }

  /** Ends what waits for an answer. Streams that were handed out are reset with their flows. */
  close(): void {
    for (const end of this.#waiting) end(NetworkError.closed());
  }
}
