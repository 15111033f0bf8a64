/** What a forward is, whoever made it, and how it is asked for. */

/** A value of Contract §14.1 that this platform has; the transports that the guest's side is reached by are TCP and UDP. */
export type ForwardProtocol = 'tcp' | 'udp' | 'unix';

export interface ForwardRequest {
  /** Contract §13.7: `tcp`, `udp`, `unix` or `npipe`; others are refused. */
  readonly protocol: string;
  /** `host:port`, or the path of a unix socket. */
  readonly local: string;
  /** `a.b.c.d:port`; of a unix forward `tcp://a.b.c.d:port` or `ssh-tunnel://…`. */
  readonly remote: string;
}

export interface Forward extends ForwardRequest, Disposable {
  /** The host's port; undefined for a unix socket. */
  readonly boundPort?: number | undefined;
  /** Ends listening. */
  close(): void;
}

/**
 * Why a forward could not be made or removed, for those that answer requests (contract §13.7):
 * `remote`: the remote is no `a.b.c.d:port` (400 there, all others 500); `address`: it can't be forwarded to or from;
 * `conflict`: protocol and local are taken by another forward; `bind`: the host refuses the address, `cause` tells;
 * `unsupported`: a protocol or scheme that is not known or not of this platform; `not-found`: nothing to remove;
 * `limit`: there are too many.
 */
export const FORWARD_ERRORS = ['remote', 'address', 'conflict', 'bind', 'unsupported', 'not-found', 'limit'] as const;
export type ForwardErrorCode = (typeof FORWARD_ERRORS)[number];

export class ForwardError extends Error {
  override readonly name: string = 'ForwardError';
  readonly code: ForwardErrorCode;

  /** `message` is the contract's text. */
  constructor(code: ForwardErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? {} : { cause });
    this.code = code;
  }
}
