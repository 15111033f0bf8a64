/** `-listen` and `-services` on sockets that whoever started the program has opened: `fd:3`, `systemd:NAME`. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, type StdioOptions } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync } from 'node:fs';
import { get, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { socketpair } from '../system/descriptors.ts';
import { openListenSocket } from '../../src/link/listen-socket.ts';
import { Arena } from '../../src/runtime/arena.ts';
import * as sys from '../../src/system/syscalls.ts';
import { listenUnix } from '../../src/system/unix-listener.ts';
import { GVPROXY, temporaryFolder, until } from '../guest/process.ts';

interface Started {
  readonly child: ChildProcess;
  readonly output: () => string;
  readonly status: Promise<number | null>;
}

/** Descriptors are 3, 4, … there. `$$` in the environment is the program's pid, as systemd sets it. */
function start(t: TestContext, descriptors: readonly number[], flags: readonly string[], environment = ''): Started {
  const stdio: StdioOptions = ['ignore', 'pipe', 'pipe', ...descriptors];
  const child = spawn('/bin/sh', ['-c', `${environment} exec "$0" "$@"`, GVPROXY, '-ssh-port', '-1', ...flags], {
    stdio,
    timeout: 20_000,
    killSignal: 'SIGKILL',
  });
  let output = '';
  child.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr?.on('data', (chunk: Buffer) => (output += chunk.toString()));
  t.after(() => child.kill('SIGKILL'));
  const status = once(child, 'close').then(([code]) => code as number | null);
  return { child, output: () => output, status };
}

function unixListener(t: TestContext): { fd: number; path: string } {
  sys.load();
  const path = join(temporaryFolder(), 'inherited');
  const { fd } = listenUnix(path, 16);
  t.after(() => sys.close(fd));
  return { fd, path };
}

/** Nobody accepts here: the program is to. */
async function tcpListener(t: TestContext): Promise<{ fd: number; port: number }> {
  const socket = await openListenSocket('tcp://127.0.0.1:0', new Arena(1 << 16));
  t.after(() => socket.close());
  return { fd: socket.fd, port: Number(new URL(socket.address).port) };
}

async function ask(place: { socketPath: string } | { port: number }, path: string): Promise<{ status: number; body: string }> {
  const headers = { connection: 'close', origin: 'http://attacker.example' };
  const [response] = (await once(get({ host: '127.0.0.1', ...place, path, headers }), 'response')) as [IncomingMessage];
  return { status: response.statusCode!, body: await text(response) };
}

test('§13.1: systemd names a unix socket and a TCP port; the one counts as the host user, the other refuses browsers', async (t) => {
  const { fd, path } = unixListener(t);
  const { fd: web, port } = await tcpListener(t);
  const variables = 'export LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=api:web;';
  const { child, output, status } = start(t, [fd, web], ['-listen', 'systemd:api', '-services', 'systemd:web'], variables);
  await until(() => (output().match(/listening on /g) ?? []).length === 2, `two listeners:\n${output()}`);
  assert.match(output(), new RegExp(`listening on fd:3"[^]*listening on tcp://127\\.0\\.0\\.1:${port}"`));
  assert.deepEqual(await ask({ socketPath: path }, '/services/forwarder/all'), { status: 200, body: '[]\n' });
  const refused = await ask({ port }, '/services/forwarder/all');
  assert.equal(refused.status, 403);
  child.kill('SIGTERM');
  assert.equal(await status, 0, output());
  // systemd's, which goes on listening.
  assert.ok(existsSync(path));
});

test('sockets of one name are all served, and so are those that systemd: stands for', async (t) => {
  const [a, b] = [unixListener(t), unixListener(t)];
  const { output } = start(t, [a.fd, b.fd], ['-listen', 'systemd:'], 'export LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=x:x;');
  await until(() => (output().match(/listening on fd:/g) ?? []).length === 2, `two listeners:\n${output()}`);
  for (const { path } of [a, b]) assert.equal((await ask({ socketPath: path }, '/leases')).status, 200);
});

test('a descriptor that can not be listened on is refused with the reason', async (t) => {
  const { fd } = unixListener(t);
  const [connected, peer] = socketpair();
  const file = openSync('/dev/null', 'r');
  t.after(() => [connected, peer].map((each) => sys.close(each)));
  t.after(() => closeSync(file));
  const cases: [flags: string[], environment: string, words: string][] = [
    [['-listen', 'fd:x'], '', '\\"fd:x\\" names no descriptor: want fd: and its number, fd:3'],
    [['-listen', 'fd:99'], '', 'listen fd:99: open: bad file descriptor (whoever starts this program has to open it)'],
    [['-listen', 'fd:4'], '', 'listen fd:4: open: socket operation on non-socket (want a descriptor of a socket)'],
    [['-listen', 'fd:5'], '', 'listen fd:5: accept: invalid argument (this is a connection: want a stream socket that listens)'],
    [['-listen', 'fd:3', '-services', 'fd:3'], '', 'listen fd:3: open: invalid argument (this descriptor is in use already)'],
    [
      ['-listen', 'systemd:api'],
      '',
      'listen systemd:api: listen: invalid argument (systemd has passed no sockets: start this from the service of a .socket unit',
    ],
    [
      ['-listen', 'systemd:api'],
      'export LISTEN_PID=1 LISTEN_FDS=1;',
      'listen systemd:api: listen: invalid argument (the sockets are for process 1, this is ',
    ],
    [
      ['-listen', 'systemd:api'],
      'export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=vm;',
      'listen systemd:api: listen: invalid argument (its sockets are called vm)',
    ],
  ];
  for (const [flags, environment, words] of cases) {
    const { output, status } = start(t, [fd, file, connected], flags, environment);
    assert.equal(await status, 1);
    assert.ok(output().includes(`gvproxy exiting: cannot listen: ${words}`), `${flags.join(' ')}:\n${output()}`);
  }
});

test('an inherited socket, which VMs may reach, gives no captures; one of its own does', async (t) => {
  const { fd, path } = unixListener(t);
  const own = join(temporaryFolder(), 'api.sock');
  start(t, [fd], ['-listen', 'fd:3', '-listen', `unix://${own}`]);
  await until(() => existsSync(own), 'the listener that is opened last');
  const refused = await ask({ socketPath: path }, '/v1/capture');
  assert.deepEqual([refused.status, /"capture-refused"/.test(refused.body)], [403, true]);
  // Of a port that there is not, so that the answer has an end.
  assert.equal((await ask({ socketPath: own }, '/v1/capture?port=7')).status, 404);
});

test('QEMU comes in through a socket that the program was started with, which ends with the last VM', async (t) => {
  const { fd, path } = unixListener(t);
  const { output, status } = start(t, [fd], ['-listen-qemu', 'fd:3']);
  await until(() => output().includes('listening for QEMU on fd:3'), `the link:\n${output()}`);
  const [one, other] = [connect(path), connect(path)];
  await Promise.all([once(one, 'connect'), once(other, 'connect')]);
  // An ARP request of each for the gateway, behind QEMU's length, and the length of its answer.
  for (const [vm, last] of [
    [one, '02'],
    [other, '03'],
  ] as const) {
    vm.write(
      Buffer.from(`0000002affffffffffff5254000000${last}080600010800060400015254000000${last}c0a87f${last}000000000000c0a87f01`, 'hex'),
    );
    const [answer] = (await once(vm, 'data')) as [Buffer];
    assert.equal(answer.readUInt32BE(0), 42);
  }
  one.destroy();
  await until(() => output().includes('disconnecting'), `the first to go:\n${output()}`);
  assert.doesNotMatch(output(), /exiting/);
  other.destroy();
  assert.equal(await status, 0, output());
});
