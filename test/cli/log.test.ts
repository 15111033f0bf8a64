import assert from 'node:assert/strict';
import { test } from 'node:test';
import { localTime, Log } from '../../src/cli/log.ts';
import { LOG_LEVELS } from '../../src/config/log-level.ts';

const NOON = new Date('2026-07-21T12:00:00.999Z');

function written(isTerminal: boolean, record: (log: Log) => void, now = () => NOON): string {
  let text = '';
  const log = new Log({ isTerminal, write: (record) => void (text += record) }, now);
  record(log);
  return text;
}

/** In a process of its own the zone could be set; here the tests run in whatever zone the machine has. */
const TIME = localTime(NOON);

test('a record is one line of logrus text', () => {
  assert.equal(
    written(false, (log) => log.info('waiting for clients...')),
    `time="${TIME}" level=info msg="waiting for clients..."\n`,
  );
});

test('a message of harmless characters is not quoted, any other is', () => {
  const cases: [string, string][] = [
    ['v0.1.0', 'v0.1.0'],
    ['AZaz09-._/@^+', 'AZaz09-._/@^+'],
    ['two words', '"two words"'],
    ['a:b', '"a:b"'],
    ['a=b', '"a=b"'],
    ['"/tmp/x" already exists', '"\\"/tmp/x\\" already exists"'],
    ['back\\slash', '"back\\\\slash"'],
    ['two\nlines\ttab', '"two\\nlines\\ttab"'],
    ['\u001b[31m\u0000\u007f', '"\\x1b[31m\\x00\\x7f"'],
    ['caf\u00e9 \u{1f600}', '"caf\u00e9 \u{1f600}"'],
    ['\u200b\u00a0\u{e0001}', '"\\u200b\\u00a0\\U000e0001"'],
  ];
  for (const [message, text] of cases) {
    assert.equal(
      written(false, (log) => log.error(message)),
      `time="${TIME}" level=error msg=${text}\n`,
    );
  }
});

test('levels are named as logrus names them, and those beyond the chosen one are left out', () => {
  const all = (level: (typeof LOG_LEVELS)[number]): string[] => {
    const text = written(false, (log) => {
      log.level = level;
      for (const each of LOG_LEVELS) log.record(each, 'x');
    });
    return [...text.matchAll(/level=(\w+)/g)].map(([, name]) => name!);
  };
  assert.deepEqual(all('trace'), ['panic', 'fatal', 'error', 'warning', 'info', 'debug', 'trace']);
  assert.deepEqual(all('info'), ['panic', 'fatal', 'error', 'warning', 'info']);
  assert.deepEqual(all('panic'), ['panic']);
  assert.equal(
    written(false, (log) => log.debug('x')),
    '',
    'info is where a log starts',
  );
});

test('on a terminal: colour, four letters, seconds since the start', () => {
  let seconds = 0;
  const text = written(
    true,
    (log) => {
      seconds = 61;
      log.info('waiting');
      log.record('warning', 'watch out');
    },
    () => new Date(NOON.getTime() + seconds * 1000),
  );
  const pad = (message: string): string => message.padEnd(44);
  assert.equal(text, `\u001b[36mINFO\u001b[0m[0061] ${pad('waiting')} \n\u001b[33mWARN\u001b[0m[0061] ${pad('watch out')} \n`);
});

test('times are RFC 3339 to the second, local, with Z for UTC', () => {
  const at = (minutesWest: number): Date => Object.assign(new Date(NOON), { getTimezoneOffset: () => minutesWest });
  assert.equal(localTime(at(0)), '2026-07-21T12:00:00Z');
  assert.equal(localTime(at(-120)), '2026-07-21T14:00:00+02:00');
  assert.equal(localTime(at(210)), '2026-07-21T08:30:00-03:30');
});

test('-log-format json: one object per record, with the numbers of pino, on a terminal too', () => {
  let text = '';
  const log = new Log({ isTerminal: true, write: (record) => void (text += record) }, () => NOON, 'json');
  log.level = 'trace';
  for (const level of LOG_LEVELS) log.record(level, 'two\nlines "x"');
  const records = text.trimEnd().split('\n');
  const time = NOON.getTime();
  assert.deepEqual(
    records.map((line) => JSON.parse(line) as unknown),
    [60, 60, 50, 40, 30, 20, 10].map((level) => ({ level, time, msg: 'two\nlines "x"' })),
  );
});
