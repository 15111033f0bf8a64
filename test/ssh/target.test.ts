import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseForwardSocket, parseForwardTarget, parseSshTarget } from '../../src/ssh/target.ts';

const PLAIN = {
  host: '192.168.127.2',
  port: 22,
  user: 'root',
  password: undefined,
  path: '/run/podman/podman.sock',
  identity: '/keys/id',
  passphrase: undefined,
  secure: false,
};

test('§14.4: an ssh-tunnel remote names user, guest, socket and key', () => {
  assert.deepEqual(parseSshTarget('ssh-tunnel://root@192.168.127.2/run/podman/podman.sock?key=/keys/id'), PLAIN);
  const full = 'ssh-tunnel://a%40b:p%3aw@10.0.0.9:2022/run/a%20b.sock?key=/keys/my%20id&passphrase=x%26y+z&secure=true';
  assert.deepEqual(parseSshTarget(full), {
    host: '10.0.0.9',
    port: 2022,
    user: 'a@b',
    password: 'p:w',
    path: '/run/a b.sock',
    identity: '/keys/my id',
    passphrase: 'x&y z',
    secure: true,
  });
  assert.equal(parseSshTarget('ssh-tunnel://u@[fd00::2]:22/x?key=k').host, 'fd00::2');
});

test('only secure=true is secure, and an empty passphrase is none', () => {
  for (const query of ['secure=false', 'secure=1', 'secure=', 'passphrase=']) {
    assert.deepEqual(parseSshTarget(`ssh-tunnel://root@192.168.127.2/run/podman/podman.sock?key=/keys/id&${query}`), PLAIN);
  }
});

const REFUSED: readonly [string, string][] = [
  ['http://1.2.3.4/x', 'remote protocol for unix forwarder is not implemented: http'],
  ['/run/x.sock', 'remote protocol for unix forwarder is not implemented: '],
  ['ssh-tunnel://root@1.2.3.4/x', 'key not provided for unix-ssh connection'],
  ['ssh-tunnel://root@1.2.3.4/x?key=', 'key not provided for unix-ssh connection'],
  ['ssh-tunnel://root@1.2.3.4?key=k', 'remote uri must contain a path to a socket file'],
  ['ssh-tunnel://root@1.2.3.4/?key=k', 'remote uri must contain a path to a socket file'],
  [':x', 'failed to parse remote uri ::x : parse ":x": missing protocol scheme'],
  ['a b:c', 'failed to parse remote uri :a b:c : parse "a b:c": first path segment in URL cannot contain colon'],
  [
    'ssh-tunnel://h:x/p?key=k',
    'failed to parse remote uri :ssh-tunnel://h:x/p?key=k : parse "ssh-tunnel://h:x/p?key=k": invalid port ":x" after host',
  ],
  [
    'ssh-tunnel://h/%zz?key=k',
    'failed to parse remote uri :ssh-tunnel://h/%zz?key=k : parse "ssh-tunnel://h/%zz?key=k": invalid URL escape "%zz"',
  ],
  [
    'ssh-tunnel://h/\n?key=k',
    'failed to parse remote uri :ssh-tunnel://h/\n?key=k : parse "ssh-tunnel://h/\\n?key=k": net/url: invalid control character in URL',
  ],
];

for (const [text, message] of REFUSED) {
  test(`§14.2: ${JSON.stringify(text)} is refused with gvproxy's text`, () => {
    assert.throws(() => parseSshTarget(text), { message });
  });
}

test('what would fail with every connection is refused at once: a name, no host, no user, a port out of range', () => {
  const refused = (text: string, message: RegExp): void => assert.throws(() => parseSshTarget(text), message);
  refused('ssh-tunnel://root@guest/x?key=k', /^Error: invalid remote addr: guest is not an IP address$/);
  refused('ssh-tunnel://root@/x?key=k', /^Error: invalid remote addr: no host$/);
  refused('ssh-tunnel://192.168.127.2/x?key=k', /must name a user/);
  refused('ssh-tunnel://root@1.2.3.4:0/x?key=k', /invalid port 0 in remote uri \(want 1 to 65535\)/);
  refused('ssh-tunnel://root@1.2.3.4:65536/x?key=k', /invalid port 65536/);
});

test('§14.6: the destination of -forward-* is an ssh URL, and its key stands beside it', () => {
  const target = parseForwardTarget('ssh://root@192.168.127.2:22/run/podman/podman.sock', '/keys/id');
  assert.deepEqual(target, PLAIN);
  assert.equal(parseForwardTarget('ssh://root@192.168.127.2:22/run/podman/podman.sock?secure=true', '/keys/id').secure, true);
  assert.throws(() => parseForwardTarget('http://root@192.168.127.2:22/x', '/keys/id'), /^Error: URI scheme not supported: http$/);
});

test('§14.6: the local socket is a path or a unix URL, and nothing else on this platform', () => {
  assert.equal(parseForwardSocket('/run/user/1000/a b%20.sock'), '/run/user/1000/a b%20.sock');
  assert.equal(parseForwardSocket('unix:///run/a%20b.sock'), '/run/a b.sock');
  assert.equal(parseForwardSocket('unix://run/x.sock'), '/x.sock');
  assert.throws(() => parseForwardSocket('tcp://127.0.0.1:1'), /^Error: URI scheme not supported: tcp$/);
  assert.throws(() => parseForwardSocket('npipe:////./pipe/x'), /^Error: named pipes are not supported by this platform$/);
});
