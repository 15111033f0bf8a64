import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type FlagDefinition, FlagError, HelpRequested, parseFlags, usage } from '../../src/cli/go-flags.ts';

const FLAGS = {
  debug: { kind: 'bool', usage: 'Print debug info' },
  mtu: { kind: 'int', usage: 'Set the MTU' },
  'ssh-port': { kind: 'int', usage: 'Port', default: 2222 },
  subnet: { kind: 'string', usage: 'Subnet', default: '10.0.0.0/8' },
  pcap: { kind: 'string', usage: 'Capture' },
  listen: { kind: 'list', usage: 'Endpoint' },
} as const satisfies Record<string, FlagDefinition>;

const parse = (...argv: string[]) => parseFlags(FLAGS, argv).values;

function refused(argv: string[], message: string): void {
  assert.throws(() => parse(...argv), { message, constructor: FlagError }, argv.join(' '));
}

test('one dash or two, value behind = or in the next word', () => {
  for (const argv of [['-pcap', 'x=y'], ['-pcap=x=y'], ['--pcap', 'x=y'], ['--pcap=x=y']]) assert.equal(parse(...argv).pcap, 'x=y');
});

test('flags that are not given have their default, or nothing', () => {
  assert.deepEqual(parse(), { debug: false, mtu: 0, 'ssh-port': 2222, subnet: '10.0.0.0/8', pcap: '', listen: [] });
  assert.deepEqual([...parseFlags(FLAGS, ['-mtu=0', '-debug=false']).given], ['mtu', 'debug']);
});

test("booleans know Go's words and leave the next word alone", () => {
  for (const word of ['1', 't', 'T', 'true', 'TRUE', 'True']) assert.equal(parse(`-debug=${word}`).debug, true, word);
  for (const word of ['0', 'f', 'F', 'false', 'FALSE', 'False']) assert.equal(parse('-debug', `-debug=${word}`).debug, false, word);
  const { debug, mtu } = parse('-debug', 'false', '-mtu', '9000');
  assert.deepEqual([debug, mtu], [true, 0], '"false" is the first word that is no flag: parsing stops');
  for (const word of ['maybe', 'yes', 'tRUE', '']) refused([`-debug=${word}`], `invalid boolean value "${word}" for -debug: parse error`);
});

test('integers are decimal, hexadecimal, octal or binary, with sign and underscores', () => {
  const cases: [string, number][] = [
    ['1500', 1500],
    ['-5', -5],
    ['+5', 5],
    ['0', 0],
    ['0x5dc', 1500],
    ['0X5DC', 1500],
    ['-0x10', -16],
    ['0x_5dc', 1500],
    ['0o17', 15],
    ['017', 15],
    ['0_17', 15],
    ['0b101', 5],
    ['1_500', 1500],
  ];
  for (const [text, value] of cases) assert.equal(parse('-mtu', text).mtu, value, text);
  for (const text of ['abc', '', '1.5', '1e3', '0x', '08', '_1', '1_', '1__0', '--5', ' 5', '5 ', '0b2']) {
    refused([`-mtu=${text}`], `invalid value "${text}" for flag -mtu: parse error`);
  }
  assert.doesNotThrow(() => parse('-mtu', '9223372036854775807'));
  refused(['-mtu', '9223372036854775808'], 'invalid value "9223372036854775808" for flag -mtu: value out of range');
  refused(['-mtu', '-9223372036854775809'], 'invalid value "-9223372036854775809" for flag -mtu: value out of range');
});

test('values in errors are quoted as Go quotes', () => {
  refused(['-mtu', 'a"\u001b\u00e9\u200b\t'], 'invalid value "a\\"\\x1b\u00e9\\u200b\\t" for flag -mtu: parse error');
});

test('parsing stops at the first other word, at -- and at a lone dash', () => {
  for (const stop of ['word', '--', '-', '']) assert.deepEqual(parse('-debug', stop, '-mtu', '9000', '-foo').mtu, 0, stop);
  assert.equal(parse('-mtu', '1', '--', 'x').mtu, 1);
});

test('of a repeated flag the last counts, of a list every one in order', () => {
  assert.equal(parse('-mtu', '1', '-mtu=2').mtu, 2);
  assert.deepEqual(parse('-listen', 'a', '--listen=b', '-listen', 'a').listen, ['a', 'b', 'a']);
});

test('§2.1: parsing stops at the first word that is no flag, and at two dashes; what is behind is handed back', () => {
  const rest = (...argv: string[]) => parseFlags(FLAGS, argv).rest;
  assert.deepEqual(rest('-debug', 'yes', '-mtu', '9000'), ['yes', '-mtu', '9000']);
  assert.deepEqual(rest('-debug', '--', '-mtu'), ['-mtu']);
  assert.deepEqual(rest('-'), ['-']);
  for (const argv of [[], ['-mtu', '9000'], ['-debug', '--']]) assert.deepEqual(rest(...argv), [], argv.join(' '));
});

test('an empty value is a value, and a flag may be the value of another', () => {
  assert.equal(parse('-subnet', '').subnet, '');
  assert.equal(parse('-subnet=').subnet, '');
  assert.equal(parse('-pcap', '-debug').pcap, '-debug');
});

test('unknown, malformed and incomplete flags', () => {
  refused(['-foo'], 'flag provided but not defined: -foo');
  refused(['--foo=1'], 'flag provided but not defined: -foo');
  refused(['-constructor'], 'flag provided but not defined: -constructor');
  refused(['-mtu'], 'flag needs an argument: -mtu');
  refused(['-listen'], 'flag needs an argument: -listen');
  for (const word of ['-=x', '--=x', '---x']) refused([word], `bad flag syntax: ${word}`);
});

test('help is asked for with one dash or two, and before errors that follow', () => {
  for (const word of ['-h', '-help', '--help', '--h']) assert.throws(() => parse('-debug', word, '-foo'), HelpRequested);
});

test('the usage lists flags alphabetically as Go prints them', () => {
  assert.equal(
    usage('gvproxy', FLAGS),
    [
      'Usage of gvproxy:',
      '  -debug',
      '    \tPrint debug info',
      '  -listen value',
      '    \tEndpoint',
      '  -mtu int',
      '    \tSet the MTU',
      '  -pcap string',
      '    \tCapture',
      '  -ssh-port int',
      '    \tPort (default 2222)',
      '  -subnet string',
      '    \tSubnet (default "10.0.0.0/8")',
      '',
    ].join('\n'),
  );
});
