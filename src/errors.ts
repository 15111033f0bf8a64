/**
 * What a network refuses by itself. Every error of this library has a `code`: docs/errors.md says what each means and what to do. Those of
 * options, dials, forwards, zones and system calls have classes of their own, where they are made.
 */

/** `network-closed`: nothing can be asked of it any more. `port-taken`: somebody serves this port of the virtual network already. */
export const NETWORK_ERRORS = ['network-closed', 'port-taken'] as const;
export type NetworkErrorCode = (typeof NETWORK_ERRORS)[number];

export class NetworkError extends Error {
  override readonly name: string = 'NetworkError';
  readonly code: NetworkErrorCode;

  constructor(code: NetworkErrorCode, message: string) {
    super(message);
    this.code = code;
  }

  static closed(): NetworkError {
    return new NetworkError('network-closed', 'the network is closed');
  }
}

/** `no-room`: the network's memory is given out. `mtu-too-large`: a link can't carry frames of this network's MTU. */
export const CAPACITY_ERRORS = ['no-room', 'mtu-too-large'] as const;
export type CapacityErrorCode = (typeof CAPACITY_ERRORS)[number];

export class CapacityError extends RangeError {
  readonly code: CapacityErrorCode;

  constructor(code: CapacityErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** An argument that no type checker would have let through, from plain JavaScript. */
export class ArgumentError extends TypeError {
  readonly code = 'invalid-argument' as const;
}

/** Throws ArgumentError for what is no signal, and the reason of one that has aborted. */
export function checkSignal(signal: AbortSignal | undefined): void {
  if (signal === undefined) return;
  if (!(signal instanceof AbortSignal)) throw new ArgumentError(`signal wants an AbortSignal, not ${String(signal)}`);
  signal.throwIfAborted();
}

/** Throws ArgumentError for what has no properties. */
export function checkObject(value: unknown, what: string): void {
  if (typeof value !== 'object' || value === null) throw new ArgumentError(`${what} wants an object, not ${String(value)}`);
}
