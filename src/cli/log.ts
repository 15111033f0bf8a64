/** Log records as gvproxy's callers know them (contract §4.4): logrus text, coloured on a terminal; or JSON, as pino writes it. */
import { writeSync } from 'node:fs';
import { LOG_LEVELS, type LogLevel } from '../config/log-level.ts';
import { goQuote } from './go-quote.ts';

const COLOURS: Record<LogLevel, number> = { panic: 31, fatal: 31, error: 31, warning: 33, info: 36, debug: 37, trace: 37 };
/** pino's levels. */
const NUMBERS: Record<LogLevel, number> = { panic: 60, fatal: 60, error: 50, warning: 40, info: 30, debug: 20, trace: 10 };

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
  level: LogLevel = 'info';
  readonly #sink: LogSink;
  readonly #json: boolean;
  readonly #now: () => Date;
  readonly #started: number;

  constructor(sink: LogSink, now: () => Date = () => new Date(), format: string = 'text') {
    this.#sink = sink;
    this.#now = now;
    this.#json = format === 'json';
    this.#started = now().getTime();
  }

  error(message: string): void {
    this.record('error', message);
  }

  warning(message: string): void {
    this.record('warning', message);
  }

  info(message: string): void {
    this.record('info', message);
  }

  debug(message: string): void {
    this.record('debug', message);
  }

  /** Whether records of this level are written. */
  writes(level: LogLevel): boolean {
    return LOG_LEVELS.indexOf(level) <= LOG_LEVELS.indexOf(this.level);
  }

  record(level: LogLevel, message: string): void {
    if (!this.writes(level)) return;
    const now = this.#now();
    if (this.#json) this.#sink.write(`${JSON.stringify({ level: NUMBERS[level], time: now.getTime(), msg: message })}\n`);
    else this.#sink.write(this.#sink.isTerminal ? this.#coloured(level, message, now) : plain(level, message, now));
  }

  #coloured(level: LogLevel, message: string, now: Date): string {
    const seconds = Math.floor((now.getTime() - this.#started) / 1000);
    const name = level.slice(0, 4).toUpperCase();
    return `\u001b[${COLOURS[level]}m${name}\u001b[0m[${String(seconds).padStart(4, '0')}] ${message.trimEnd().padEnd(44)} \n`;
  }
}

function plain(level: LogLevel, message: string, now: Date): string {
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
