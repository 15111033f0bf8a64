/** Tells whoever started us what happens, over a unix socket: one connection per event (contract §4.6). */
import { connect } from 'node:net';
import type { Log } from './log.ts';

/** Events that wait while one is being sent. */
const QUEUE = 100;
/** Milliseconds that queued events have at the end. */
const LAST_WORDS = 1000;

export type NotificationType = 'ready' | 'connection_established' | 'connection_closed' | 'hypervisor_error';

export class NotificationSender {
  readonly #path: string;
  readonly #log: Log;
  readonly #queue: string[] = [];
  #sending: Promise<void> | null = null;
  #closed = false;

  /** With an empty path nobody is told anything. */
  constructor(path: string, log: Log) {
    this.#path = path;
    this.#log = log;
  }

  /** `mac` of the VM that the event is about. */
  send(type: NotificationType, mac?: string): void {
    if (this.#path === '' || this.#closed) return;
    if (this.#queue.length >= QUEUE) {
      this.#log.warning('unable to send notification');
      return;
    }
    this.#queue.push(`${JSON.stringify({ notification_type: type, mac_address: mac })}\n`);
    this.#sending ??= this.#drain();
  }

  async #drain(): Promise<void> {
    for (let text = this.#queue.shift(); text !== undefined && !this.#closed; text = this.#queue.shift()) {
      const fault = await deliver(this.#path, text);
      if (fault !== undefined) this.#log.error(`failed to send notification: ${fault}`);
    }
    this.#sending = null;
  }

  /** Sends what is queued, for a second at most. */
  async close(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, LAST_WORDS)));
    await Promise.race([this.#sending, late]);
    clearTimeout(timer);
    this.#closed = true;
  }
}

/** What went wrong, in Go's words; nothing when the event is the receiver's. */
function deliver(path: string, text: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    let connected = false;
    const socket = connect(path);
    socket.on('connect', () => {
      connected = true;
      socket.end(text, () => socket.destroy());
    });
    let fault: string | undefined;
    socket.on('error', ({ message, code, syscall }: NodeJS.ErrnoException) => {
      const reason = `${syscall}: ${REASONS[code ?? ''] ?? message}`;
      fault = connected ? `write unix @->${path}: ${reason}` : `dial unix ${path}: ${reason}`;
    });
    socket.on('close', () => resolve(fault));
  });
}

/** Go's texts of what a receiver that isn't there leads to; Node has the codes alone. */
const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or directory',
  ECONNREFUSED: 'connection refused',
  EACCES: 'permission denied',
  EPIPE: 'broken pipe',
  ECONNRESET: 'connection reset by peer',
  EAGAIN: 'resource temporarily unavailable',
  EPROTOTYPE: 'protocol wrong type for socket',
};
