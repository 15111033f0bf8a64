/** systemd's socket activation, and descriptors by number: with real descriptors in a process of their own where it matters. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { activatedDescriptors, parseActivation, takeActivation } from '../../src/system/activation.ts';

function environment(fds: string, names?: string, pid = '42'): NodeJS.ProcessEnv {
  return { LISTEN_PID: pid, LISTEN_FDS: fds, ...(names !== undefined && { LISTEN_FDNAMES: names }), HOME: '/root' };
}

test('sockets stand from descriptor 3 on, each with its name', () => {
  const variables = environment('3', 'api:vm:api');
  assert.deepEqual(takeActivation(variables, 42).sockets, [
    { fd: 3, name: 'api' },
    { fd: 4, name: 'vm' },
    { fd: 5, name: 'api' },
  ]);
  assert.deepEqual(variables, { HOME: '/root' });
});

test('names may be missing', () => {
  assert.deepEqual(takeActivation(environment('2', 'one'), 42).sockets, [
    { fd: 3, name: 'one' },
    { fd: 4, name: '' },
  ]);
  assert.deepEqual(takeActivation(environment('1'), 42).sockets, [{ fd: 3, name: '' }]);
});

test("what is another process's, or no number of sockets, counts for nothing, and is removed", () => {
  const cases: [NodeJS.ProcessEnv, RegExp][] = [
    [environment('1', 'a', '41'), /^the sockets are for process 41, this is 42/],
    [environment('x'), /^LISTEN_FDS is "x"/],
    [environment('0'), /^LISTEN_FDS is "0"/],
    [environment('-1'), /^LISTEN_FDS is "-1"/],
    [environment('99999'), /^LISTEN_FDS is "99999"/],
    [{ LISTEN_FDS: '1', HOME: '/root' }, /^systemd has passed no sockets/],
    [{ HOME: '/root' }, /^systemd has passed no sockets/],
  ];
  for (const [variables, why] of cases) {
    const taken = takeActivation(variables, 42);
    assert.deepEqual(taken.sockets, []);
    assert.match(taken.why, why);
    assert.deepEqual(variables, { HOME: '/root' });
  }
});

test('a URL names one socket, or all of them', () => {
  assert.deepEqual(
    ['systemd:', 'systemd:api', 'SYSTEMD:api', 'systemd', 'unix:///systemd:'].map((text) => parseActivation(text)),
    ['', 'api', 'api', undefined, undefined],
  );
});

test('a process that systemd has not started has none', () => {
  assert.throws(() => activatedDescriptors('api'), {
    code: 'EINVAL',
    message: 'listen EINVAL systemd:api: invalid argument (systemd has passed no sockets: start this from the service of a .socket unit)',
  });
});
