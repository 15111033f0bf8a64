/** Log records as gvproxy's callers know them (contract §4.4): logrus text, coloured on a terminal. */
import { writeSync } from 'node:fs';
import { goQuote } from './go-quote.ts';

export const LEVELS = ['panic', 'fatal', 'error', 'warning', 'info', 'debug', 'trace'] as const;
export type Level = (typeof LEVELS)[number];

const COLOURS: Record<Level, number> = { panic: 31, fatal: 31, error: 31, warning: 33, info: 36, debug: 37, trace: 37 };

export interface LogSink {
  /** One record, newline included. */
  write(text: string): void;
  readonly isTerminal: boolean;
}

/** Writes to a descriptor at once: a record survives whatever follows it. */
export function descriptorSink(fd: number, isTerminal: boolean): LogSink {
  return {
    isTerminal,
    write(text: string): void {
      try {
        writeSync(fd, text);
      } catch {
        // A log that can't be written (closed pipe, full disk) must not end the network.
      }
    },
  };
}

export class Log {
  level: Level = 'info';
  readonly #sink: LogSink;
  readonly #now: () => Date;
  readonly #started: number;

  constructor(sink: LogSink, now: () => Date = () => new Date()) {
    this.#sink = sink;
    this.#now = now;
    this.#started = now().getTime();
  }

  error(message: string): void {
    this.record('error', message);
  }

  info(message: string): void {
    this.record('info', message);
  }

  debug(message: string): void {
    this.record('debug', message);
  }

  record(level: Level, message: string): void {
    if (LEVELS.indexOf(level) > LEVELS.indexOf(this.level)) return;
    const now = this.#now();
    this.#sink.write(this.#sink.isTerminal ? this.#coloured(level, message, now) : plain(level, message, now));
  }

  #coloured(level: Level, message: string, now: Date): string {
    const seconds = Math.floor((now.getTime() - this.#started) / 1000);
    const name = level.slice(0, 4).toUpperCase();
    return `\u001b[${COLOURS[level]}m${name}\u001b[0m[${String(seconds).padStart(4, '0')}] ${message.trimEnd().padEnd(44)} \n`;
  }
}

function plain(level: Level, message: string, now: Date): string {
  return `time="${localTime(now)}" level=${level} msg=${quoteIfNeeded(message)}\n`;
}

function quoteIfNeeded(text: string): string {
  return /^[A-Za-z0-9\-._/@^+]+$/.test(text) ? text : goQuote(text);
}

/** RFC 3339 in local time, to the second; `Z` for UTC as Go prints it. */
export function localTime(now: Date): string {
  const offset = -now.getTimezoneOffset();
  const local = new Date(now.getTime() + offset * 60_000).toISOString().slice(0, 19);
  if (offset === 0) return `${local}Z`;
  const magnitude = Math.abs(offset);
  const two = (value: number): string => String(value).padStart(2, '0');
  return `${local}${offset < 0 ? '-' : '+'}${two(Math.floor(magnitude / 60))}:${two(magnitude % 60)}`;
}
