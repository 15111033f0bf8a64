import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openListenSocket } from '../../src/link/listen-socket.ts';
import { Arena } from '../../src/runtime/arena.ts';

const arena = new Arena(1 << 20);
const folder = mkdtempSync(join(tmpdir(), 'guestwire-listen-'));
after(() => rmSync(folder, { recursive: true }));

const hasIpv6 = Object.values(networkInterfaces()).some((each) => each?.some(({ address }) => address === '::1'));

function connects(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, host);
    socket.once('error', () => resolve(false));
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
  });
}

/** Listens, and says what was bound and whether the hosts lead there. */
async function listening(url: string, ...hosts: string[]): Promise<string> {
  const socket = await openListenSocket(url, arena);
  try {
    const port = Number(/:(\d+)$/.exec(socket.address)![1]);
    for (const host of hosts) assert.ok(await connects(host, port), `${host} reaches ${url}`);
    return socket.address;
  } finally {
    socket.close();
  }
}

test('port 0 is replaced by the port that the kernel chose', async () => {
  assert.match(await listening('tcp://127.0.0.1:0', '127.0.0.1'), /^tcp:\/\/127\.0\.0\.1:[1-9]\d*$/);
  assert.match(await listening('tcp://127.0.0.1:', '127.0.0.1'), /^tcp:\/\/127\.0\.0\.1:[1-9]\d*$/);
});

test('a name with both families means IPv4, as it does to Go', async () => {
  assert.match(await listening('tcp://localhost:0', '127.0.0.1'), /^tcp:\/\/127\.0\.0\.1:[1-9]\d*$/);
});

test('without a host every address of both families leads there', async () => {
  const hosts = hasIpv6 ? ['127.0.0.1', '::1'] : ['127.0.0.1'];
  for (const url of ['tcp://:0', 'tcp://', 'tcp://:0/path'])
    assert.match(await listening(url, ...hosts), /^tcp:\/\/(\[::\]|0\.0\.0\.0):[1-9]\d*$/);
});

test('IPv6 stands in brackets', { skip: hasIpv6 ? false : 'needs ::1' }, async () => {
  assert.match(await listening('tcp://[::1]:0', '::1'), /^tcp:\/\/\[::1\]:[1-9]\d*$/);
});

test("addresses that are none are refused in Go's words", async () => {
  const cases: [string, string | RegExp][] = [
    ['tcp://127.0.0.1:99999', 'listen tcp: address 99999: invalid port'],
    ['tcp://:99999', 'listen tcp: address 99999: invalid port'],
    ['tcp://127.0.0.1:abc', 'listen tcp: address abc: invalid port'],
    ['tcp://127.0.0.1', 'listen tcp: address 127.0.0.1: missing port in address'],
    ['tcp://[::1]', 'listen tcp: address [::1]: missing port in address'],
    ['tcp://::1:4555', 'listen tcp: address ::1:4555: too many colons in address'],
    ['/tmp/vm.sock', /^unexpected scheme "" in \/tmp\/vm\.sock \(want unix:\/\/\/PATH or tcp:\/\/HOST:PORT\)$/],
    ['udp://127.0.0.1:1', /^unexpected scheme "udp"/],
    ['unix:///tmp/%zz', /^invalid URL escape/],
  ];
  for (const [url, message] of cases) await assert.rejects(openListenSocket(url, arena), { name: 'TypeError', message });
});

test('a unix socket has its file while it listens, and refuses a path that is taken', async () => {
  const url = `unix://${folder}/a%20b.sock`;
  const socket = await openListenSocket(url, arena);
  assert.ok(existsSync(join(folder, 'a b.sock')));
  await assert.rejects(openListenSocket(url, arena), { code: 'EADDRINUSE' });
  assert.ok(existsSync(join(folder, 'a b.sock')));
  socket.close();
  assert.equal(existsSync(join(folder, 'a b.sock')), false);
});

test("§5.1: a vsock URL is a port of this machine's, or a socket in a folder", async () => {
  const inFolder = await openListenSocket(`vsock://null:1024${folder}`, arena);
  const file = join(folder, '00000002.00000400');
  assert.equal(inFolder.address, `unix://${file}`);
  assert.ok(existsSync(file));
  inFolder.close();
  assert.ok(!existsSync(file));
  if (!existsSync('/dev/vsock')) return assert.rejects(openListenSocket('vsock://:0', arena), { message: /modprobe vsock/ });
  return assert.match(await listening('vsock://:0'), /^vsock:\/\/\d+:[1-9]\d*$/);
});
