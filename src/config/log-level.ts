/** Levels of log records, most serious first, by logrus's names (contract §4.4). */
export const LOG_LEVELS = ['panic', 'fatal', 'error', 'warning', 'info', 'debug', 'trace'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** In any case; `warn` is `warning` (contract §3.1). Undefined for another word. */
export function parseLogLevel(text: string): LogLevel | undefined {
  const word = text.toLowerCase();
  return word === 'warn' ? 'warning' : LOG_LEVELS.find((level) => level === word);
}
