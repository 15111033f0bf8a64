import { errnoName, errnoText } from './errno.ts';

export interface SystemErrorContext {
  /** What was bound, connected or opened. */
  readonly address?: string;
  readonly port?: number;
  /** Of the port: `udp`; TCP when it is left out. */
  readonly transport?: string;
  /** What the user can do about it. */
  readonly advice?: string;
}

/** A system call that failed outside the packet path; shaped like Node's own errors. */
export class SystemError extends Error {
  override readonly name: string = 'SystemError';
  readonly errno: number;
  /** `EADDRINUSE`, … */
  readonly code: string;
  readonly syscall: string;
  readonly address: string | undefined;
  readonly port: number | undefined;
  readonly transport: string | undefined;
  /** The errno in words, and what to do about it. */
  readonly reason: string;

  /** `errno` as a positive number. */
  constructor(syscall: string, errno: number, context: SystemErrorContext = {}) {
    const where = context.address === undefined ? '' : ` ${context.address}${context.port === undefined ? '' : `:${context.port}`}`;
    const advice = context.advice === undefined ? '' : ` (${context.advice})`;
    const reason = `${errnoText(errno)}${advice}`;
    super(`${syscall} ${errnoName(errno)}${where}: ${reason}`);
    this.reason = reason;
    this.errno = errno;
    this.code = errnoName(errno);
    this.syscall = syscall;
    this.address = context.address;
    this.port = context.port;
    this.transport = context.transport;
  }
}

/** Throws when `result` is a negative errno; otherwise hands it back. */
export function check(result: number, syscall: string, context: SystemErrorContext = {}): number {
  if (result < 0) throw new SystemError(syscall, -result, context);
  return result;
}
