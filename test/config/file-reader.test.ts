import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { resolveGvproxyConfig } from '../../src/config/gvproxy-config.ts';
import { compileRe2 } from '../../src/config/re2.ts';
import { parseFlags } from '../../src/cli/go-flags.ts';
import { GVPROXY_FLAGS } from '../../src/cli/gvproxy-flags.ts';
import { readConfigFile } from '../../src/config/file-reader.ts';
import { ConfigError } from '../../src/config/subnet.ts';

const read = (text: string) => readConfigFile(text, 'gv.yaml');

/** `where`: line and column. */
function refused(text: string, where: string, why: string): void {
  assert.throws(() => read(text), new ConfigError(`failed to parse configuration: gv.yaml:${where}: ${why}`), text);
}

test('§3: an empty file, a comment and a null say nothing', () => {
  for (const text of ['', '# nothing', '---', 'null', '~', '{}']) assert.deepEqual(read(text), { file: {}, warnings: [] }, text);
});

test('§3: what is empty is as if it were not there', () => {
  assert.deepEqual(read('listen:\nstack:\n  mtu:\n  forwards: ~\n').file, { stack: {} });
  assert.deepEqual(read('listen: [~]\nforwards: [~]\nstack: { nat: { 10.0.0.1: } }').file, {
    listen: [''],
    forwards: [{}],
    stack: { nat: { '10.0.0.1': '' } },
  });
});

test('§3: every key is read', () => {
  const file = {
    listen: ['a', 'b'],
    'log-level': 'info',
    'log-file': 'c',
    'log-format': 'json',
    'pid-file': 'd',
    services: 'e',
    notification: 'f',
    'ec2-metadata-access': true,
    interfaces: { vpnkit: 'g', qemu: 'h', bess: 'i', stdio: 'j', vfkit: 'k' },
    forwards: [{ socket: 'l', dest: 'm', user: 'n', identity: 'o' }],
    stack: {
      debug: true,
      'capture-file': 'p',
      mtu: 1400,
      subnet: 'q',
      gatewayIP: 'r',
      deviceIP: 's',
      hostIP: 't',
      gatewayMacAddress: 'u',
      dns: [{ name: 'v', records: [{ name: 'w', ip: 'x', regexp: 'y' }], defaultIP: 'z' }],
      dnsSearchDomains: ['a'],
      forwards: { b: 'c' },
      nat: { d: 'e' },
      gatewayVirtualIPs: ['f'],
      dhcpStaticLeases: { g: 'h' },
      vpnKitUUIDMacAddresses: { i: 'j' },
      ec2MetadataAccess: true,
      tcpMaxInFlight: 5,
      tcpConnectTimeout: '5s',
    },
  };
  // JSON is YAML.
  assert.deepEqual(read(JSON.stringify(file, null, 2)), { file, warnings: [] });
});

test("§3: values have their field's type, as in Go: text may look like a number, words of YAML 1.1 are truth values", () => {
  const { file } = read('pid-file: 0x10\nlog-file: true\nservices: 1.50\nec2-metadata-access: yes\nstack: { debug: off, mtu: 0x5dc }');
  assert.deepEqual(file, {
    'pid-file': '0x10',
    'log-file': 'true',
    services: '1.50',
    'ec2-metadata-access': true,
    stack: { debug: false, mtu: 1500 },
  });
});

test('§3: anchors, aliases and merge keys; what is written beats what is merged, the first of several merged maps the others', () => {
  const { file } = read(
    [
      'interfaces: &a { qemu: one, vfkit: two }',
      'forwards:',
      '  - &f { socket: s, user: u }',
      '  - { user: v, <<: *f }',
      '  - <<: [{ socket: x }, *f]',
      'stack: { subnet: &n 10.0.0.0/24, gatewayIP: *n }',
    ].join('\n'),
  );
  assert.deepEqual(file, {
    interfaces: { qemu: 'one', vfkit: 'two' },
    forwards: [
      { socket: 's', user: 'u' },
      { socket: 's', user: 'v' },
      { socket: 'x', user: 'u' },
    ],
    stack: { subnet: '10.0.0.0/24', gatewayIP: '10.0.0.0/24' },
  });
  refused('stack: &s\n  <<: *s\n', '2:3', '<< merges other maps');
  refused('stack: { <<: *b }\n', '1:14', "unknown anchor 'b' referenced");
  refused('services: *b\n', '1:11', "unknown anchor 'b' referenced");
  refused('stack: { <<: 5 }', '1:10', '<< merges other maps');
});

test('§2.3: values of another type are refused with file, line and column', () => {
  refused('stack:\n  mtu: abc\n', '2:8', 'stack.mtu: want a whole number, not "abc"');
  refused('stack:\n  mtu: "1500"\n', '2:8', 'stack.mtu: want a whole number, not "1500"');
  refused('stack: { mtu: 1.5 }', '1:15', 'stack.mtu: want a whole number, not 1.5');
  refused('stack:\n  debug: maybe', '2:10', 'stack.debug: want true or false, not "maybe"');
  refused('listen: unix:///x', '1:9', 'listen: want a list, not "unix:///x"');
  refused('listen:\n- a\n- {b: c}', '3:3', 'listen[1]: want text, not a map');
  refused('stack: 5', '1:8', 'stack: want a map, not 5');
  refused('- a', '1:1', 'want a map, not a list');
  refused('stack: { nat: [] }', '1:15', 'stack.nat: want a map of texts, not a list');
  refused('stack:\n  forwards:\n    127.0.0.1:80: [x]', '3:19', 'stack.forwards["127.0.0.1:80"]: want text, not a list');
  refused('log-format: xml', '1:13', 'log-format: want text or json');
  refused(
    'stack: { tcpConnectTimeout: soon }',
    '1:29',
    'stack.tcpConnectTimeout: want a time such as 30s or 1m30s, or a number of seconds',
  );
  refused('stack: { tcpConnectTimeout: -5 }', '1:29', 'stack.tcpConnectTimeout: want a time such as 30s or 1m30s, or a number of seconds');
});

test('§3.2: expressions that are no RE2 are refused with the words of Go', () => {
  const zone = (regexp: string): string => `stack:\n  dns:\n  - name: a.\n    records:\n    - regexp: '${regexp}'\n`;
  const where = '5:15';
  refused(zone('[a'), where, 'stack.dns[0].records[0].regexp: error parsing regexp: missing closing ]: `[a`');
  refused(zone('a(?=b)'), where, 'stack.dns[0].records[0].regexp: error parsing regexp: invalid or unsupported Perl syntax: `(?=`');
  refused(zone('(a)\\1'), where, 'stack.dns[0].records[0].regexp: error parsing regexp: invalid escape sequence: `\\1`');
});

test('§2.3: text that is no YAML is refused with file, line and column', () => {
  refused('stack:\n  mtu: 1\n  mtu: 2\n', '3:3', 'Map keys must be unique');
  assert.throws(() => read('listen: [a\n'), /^ConfigError: failed to parse configuration: gv\.yaml:2:1: /);
  assert.throws(() => read('a: b: c'), /^ConfigError: failed to parse configuration: gv\.yaml:1:4: /);
  refused('? [a]\n: b', '1:3', 'a key must be text');
});

test('§3: unknown keys are left out with a warning that says where, and what may be meant', () => {
  const { file, warnings } = read(
    'log_file: x\nstack:\n  MTU: 9000\n  nats: {}\n  colour: blue\n  dns:\n  - nam: a.\ninterfaces: { xyz: 1 }\n',
  );
  assert.deepEqual(file, { stack: { dns: [{}] }, interfaces: {} });
  assert.deepEqual(
    warnings.map((warning) => warning.replace(/there are .*, hostIP, .*\)/, 'there are …)')),
    [
      'gv.yaml:1:1: unknown key log_file is ignored (did you mean log-file?)',
      'gv.yaml:3:3: unknown key stack.MTU is ignored (did you mean mtu?)',
      'gv.yaml:4:3: unknown key stack.nats is ignored (did you mean nat?)',
      'gv.yaml:5:3: unknown key stack.colour is ignored (there are …)',
      'gv.yaml:7:5: unknown key stack.dns[0].nam is ignored (did you mean name?)',
      'gv.yaml:8:15: unknown key interfaces.xyz is ignored (there are vpnkit, qemu, bess, stdio, vfkit)',
    ],
  );
  assert.deepEqual(read('__proto__: { mtu: 5 }\nconstructor: 1').warnings.length, 2);
});

test('of several documents the first is read, as Go does, and the others are warned of', () => {
  const { file, warnings } = read('services: a\n---\nservices: b\n');
  assert.deepEqual([file, warnings], [{ services: 'a' }, ['gv.yaml:2:1: only the first document of the file is read']]);
});

/** Keys there are, with values of every kind. */
const KEYS = ['stack', 'listen', 'interfaces', 'forwards', 'dns', 'records', 'regexp', 'mtu', 'nat', 'subnet', 'log-format', '<<', 'x'];
const { tree } = fc.letrec<{ tree: unknown }>((tie) => ({
  tree: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom(null, true, 1500, 1.5, '', 'text', '*a', '[a', '(a+)+$', '10.0.0.0/24', -1),
    fc.array(tie('tree'), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom(...KEYS), tie('tree'), { maxKeys: 4 }),
  ),
}));
const WORDS = [
  'stack',
  'mtu',
  ':',
  ': ',
  '- ',
  '{',
  '}',
  '[',
  ']',
  '\n',
  '  ',
  '&a ',
  '*a',
  '<<',
  '? ',
  '| ',
  "'",
  '"',
  '#',
  '!!int ',
  '---\n',
  '\t',
  ',',
];
const noise = fc.array(fc.oneof(fc.constantFrom(...WORDS), fc.string({ maxLength: 3 })), { maxLength: 20 }).map((words) => words.join(''));

test('whatever the file has in it, it is read or refused with its place', () => {
  const flags = parseFlags(GVPROXY_FLAGS, []).values;
  const read = (text: string): void => {
    try {
      const { file } = readConfigFile(text, 'gv.yaml');
      resolveGvproxyConfig(flags, { file, compile: compileRe2, searchDomains: [] });
    } catch (error) {
      assert.ok(error instanceof ConfigError, `${JSON.stringify(text)}: ${(error as Error).stack}`);
      assert.match(error.message, /^failed to (parse configuration: gv\.yaml:\d+:\d+: |parse subnet|validate)/);
    }
  };
  fc.assert(
    fc.property(
      fc.oneof(
        tree.map((value) => JSON.stringify(value)),
        noise,
      ),
      read,
    ),
    { numRuns: 2000 },
  );
});
