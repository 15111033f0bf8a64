/**
 * One end of a simulated connection as its application sees it, whatever stack is below: it says what to do, and is asked
 * what has happened.
 */

/** `closed`: both directions are done in good order. `reset`: ended by either application or by the stack, without an orderly end. */
export type Outcome = 'open' | 'closed' | 'reset';

export interface End {
  /** `count` more bytes of the end's pattern are to be sent. */
  send(count: number): void;
  /** No more will be written. */
  finish(): void;
  abort(): void;
  /** The application takes `count` more bytes and then stops; Infinity: it takes whatever comes. */
  read(count: number): void;
  /** Bytes sent so far, as far as the application knows. */
  readonly written: number;
  readonly finished: boolean;
  readonly aborted: boolean;
  /** Bytes that arrived in order, and whether the end of the stream was seen behind them. */
  readonly received: number;
  readonly ended: boolean;
  readonly outcome: Outcome;
  /** A stack knows of it: an end that waits for a connection that never comes stays outside. */
  readonly engaged: boolean;
  /** The handshake has succeeded. */
  readonly established: boolean;
  readonly name: string;
}

/** The program's expectation was not met: a bug in a stack. */
export class Fault extends Error {
  override readonly name: string = 'Fault';
}
