import assert from 'node:assert/strict';
import { test } from 'node:test';
import { listenErrorText } from '../../src/cli/go-errors.ts';
import { EACCES, EADDRINUSE, EINVAL } from '../../src/system/errno.ts';
import { SystemError } from '../../src/system/error.ts';

test("a socket that can't be listened on is told of in Go's words, a device that can't be opened as itself", () => {
  const cases: [SystemError, string][] = [
    [new SystemError('bind', EADDRINUSE, { address: '/run/x' }), 'listen unix /run/x: bind: address already in use'],
    [new SystemError('bind', EADDRINUSE, { address: '::1', port: 7 }), 'listen tcp [::1]:7: bind: address already in use'],
    [
      new SystemError('bind', EADDRINUSE, { address: '127.0.0.1', port: 7, transport: 'udp' }),
      'listen udp 127.0.0.1:7: bind: address already in use',
    ],
    [new SystemError('open', EINVAL, { address: 'fd:3', advice: 'why' }), 'listen fd:3: open: invalid argument (why)'],
    [new SystemError('TUNSETIFF', EINVAL, { address: 'lo', advice: 'why' }), 'TUNSETIFF lo: invalid argument (why)'],
    [new SystemError('open', EACCES, { address: '/dev/net/tun' }), 'open /dev/net/tun: permission denied'],
  ];
  for (const [error, text] of cases) assert.equal(listenErrorText(error), text);
});
