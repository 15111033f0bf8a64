/** Links of the program, as its callers see them: frames, logs, notifications and ends (contract §6.8). */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { text } from 'node:stream/consumers';
import { VirtualNetwork } from '../../src/index.ts';
import { SOCK_DGRAM, SOCK_SEQPACKET } from '../../src/system/constants.ts';
import { execute, GVPROXY, Running, temporaryFolder, until } from '../guest/process.ts';
import { arpRequest, BIG_32, framed, LITTLE_16, plugStream } from '../link/stream-guest.ts';
import { MessageEnd } from '../link/vm-ends.ts';

const MAC = '5a:94:ef:e4:0c:ee';
const NO_SSH = ['-ssh-port', '-1'];

/** Texts of a log. */
function records(log: string): string[] {
  return [...log.matchAll(/level=(\w+) msg=(?:"(.*)"|(\S+))$/gm)].map(
    ([, level, quoted, plain]) => `${level}: ${(quoted ?? plain)!.replaceAll('\\"', '"')}`,
  );
}

async function ended(...argv: string[]): Promise<{ status: number | null; log: string[] }> {
  const { status, stderr } = await execute(GVPROXY, [...NO_SSH, ...argv]);
  return { status, log: records(stderr) };
}

/** Notifications' types, one a connection. */
async function receiver(path: string): Promise<string[]> {
  const events: string[] = [];
  const server = createServer((socket) => {
    void text(socket).then((told) => events.push((JSON.parse(told) as { notification_type: string }).notification_type));
  });
  server.listen(path).unref();
  await once(server, 'listening');
  return events;
}

async function running(program: Running, what: string): Promise<void> {
  await until(() => program.output.includes(what) || program.child.exitCode !== null, `${what}:\n${program.output}`);
  assert.equal(program.child.exitCode, null, program.output);
}

const STDIO_GONE = 'cannot receive packets from stdio, disconnecting: cannot read size from socket: EOF';

test('§6.2, §6.8: frames on standard input and output; nothing else is there, and the end of input is the end', async () => {
  const folder = temporaryFolder();
  const events = await receiver(join(folder, 'events.sock'));
  const child = spawn(GVPROXY, [...NO_SSH, '-debug', '-listen-stdio', 'accept', '-notification', `unix://${folder}/events.sock`]);
  const log = text(child.stderr);
  const out: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => void out.push(chunk));
  const guest = plugStream(child.stdout, child.stdin, LITTLE_16, MAC);
  assert.equal((await guest.dhcp()).address, '192.168.127.2');
  await guest.ping('192.168.127.1');
  child.stdin.end();
  const [status] = (await once(child, 'close')) as [number];
  const lines = records(await log);
  assert.equal(status, 0);
  assert.deepEqual(
    lines.filter((record) => /stdio|standard|exiting/.test(record)).filter((record) => !record.includes('gvproxy -')),
    [
      'debug: new connection from stdio to stdio:',
      'info: frames are on standard input and output',
      `error: ${STDIO_GONE}`,
      `error: gvproxy exiting: ${STDIO_GONE}`,
    ],
  );
  let bytes = Buffer.concat(out);
  for (; bytes.length > 0; bytes = bytes.subarray(2 + bytes.readUInt16LE(0))) {
    assert.ok(bytes.length >= 2 + bytes.readUInt16LE(0));
    assert.match(bytes.subarray(14, 16).toString('hex'), /^080[06]$/, 'every byte belongs to a frame');
  }
  await until(() => events.length === 4, 'the notifications');
  assert.deepEqual(events.toSorted(), ['connection_closed', 'connection_established', 'hypervisor_error', 'ready']);
});

test('§6.2: real pipes carry frames, also from the configuration file, and a reader that goes ends it', async () => {
  const folder = temporaryFolder();
  const config = join(folder, 'gvproxy.yaml');
  writeFileSync(config, 'interfaces: { stdio: accept }\n');
  // Between two cats standard input and output are pipes; bash says how gvproxy ended.
  const script = 'cat | { "$0" "$@"; echo "status $?" >&2; } | cat';
  const child = spawn('bash', ['-c', script, GVPROXY, '-config', config]);
  let log = '';
  child.stderr.on('data', (chunk: Buffer) => (log += chunk.toString()));
  const guest = plugStream(child.stdout, child.stdin, LITTLE_16, MAC);
  await guest.dhcp();
  // Larger than the pipe's smallest buffer, and back.
  assert.ok((await guest.ping('192.168.127.1')) >= 0);
  child.stdout.destroy();
  child.stdin.on('error', () => {});
  const request = framed(LITTLE_16, arpRequest(MAC));
  const timer = setInterval(() => child.stdin.write(request), 5);
  await once(child, 'exit');
  clearInterval(timer);
  child.stdin.destroy();
  await until(() => log.includes('status'), 'the status');
  assert.match(log, /stdio, disconnecting: cannot write packet to socket: broken pipe/);
  assert.match(log, /^status 0$/m);
});

test('what can not carry frames is refused as standard input or output', async () => {
  const refused = async (redirections: string): Promise<string> => {
    const { stderr, stdout } = await execute('bash', [
      '-c',
      `"$0" -ssh-port -1 -listen-stdio accept ${redirections}; echo "status $?"`,
      GVPROXY,
    ]);
    const log = records(stderr + stdout);
    assert.match(stdout, /^status 1$/m);
    return log.at(-1)!.replace('error: gvproxy exiting: stdio listen error: ', '');
  };
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'file'), '');
  assert.match(
    await refused('< /dev/null'),
    /^listen standard input: open: invalid argument \(want a pipe or a stream socket, not a terminal or a device\)$/,
  );
  assert.match(await refused(`> ${folder}/file`), /^listen standard output: open: .*not a file\)$/);
  assert.match(
    await refused('2>&1'),
    /^listen standard output: open: .*it is the same as standard error, whose text would stand between frames: redirect one of them\)$/,
  );
});

test('§6.8: VMs of -listen-vpnkit come and go, and the program goes on', async () => {
  const folder = temporaryFolder();
  const program = new Running(GVPROXY, [...NO_SSH, '-debug', '-listen-vpnkit', `unix://${folder}/hk.sock`]);
  await running(program, 'listening for VPNKit clients on unix://');
  for (let i = 0; i < 2; i++) {
    const socket = connect(join(folder, 'hk.sock'));
    socket.write(Buffer.alloc(90, 'x'));
    for (let got = 0; got < 49 + 258;) got += ((await once(socket, 'data')) as [Buffer])[0].length;
    await plugStream(socket, socket, LITTLE_16, MAC).dhcp();
    socket.destroy();
    await until(() => program.output.split('disconnecting').length === i + 2, 'the VM to go');
  }
  const broken = connect(join(folder, 'hk.sock')).resume();
  broken.end('x');
  await once(broken, 'close');
  assert.equal(await program.kill('SIGTERM'), 0);
  const log = records(program.output).filter((record) => record.includes('from @') || record.includes('with @'));
  assert.deepEqual(log, [
    ...Array.from({ length: 2 }, () => [
      `debug: new connection from @ to unix://${folder}/hk.sock`,
      'error: cannot receive packets from @, disconnecting: cannot read size from socket: EOF',
    ]).flat(),
    'error: cannot complete the handshake with @, disconnecting: EOF after 1 of 90 bytes',
  ]);
  assert.equal(existsSync(join(folder, 'hk.sock')), false);
});

test('§6.8: the program ends with the VM of -listen-bess and of -listen-vfkit', async () => {
  for (const [flag, scheme, type] of [
    ['bess', 'unixpacket', SOCK_SEQPACKET],
    ['vfkit', 'unixgram', SOCK_DGRAM],
  ] as const) {
    const folder = temporaryFolder();
    const path = join(folder, 'vm.sock');
    const program = new Running(GVPROXY, [...NO_SSH, '-debug', `-listen-${flag}`, `${scheme}://${path}`]);
    await running(program, `on ${scheme}://${path}`);
    const vm = MessageEnd.unix(type, path, flag === 'vfkit' ? join(folder, 'own.sock') : undefined);
    vm.send(arpRequest(MAC));
    await until(() => vm.receive() !== null, 'the answer');
    vm.close();
    assert.equal(await program.ended, 0, program.output);
    const log = records(program.output);
    assert.ok(
      log.some((record) => record.startsWith('debug: new connection from ') && record.endsWith(` to ${scheme}://${path}`)),
      program.output,
    );
    assert.match(log.at(-1)!, /^error: gvproxy exiting: cannot receive packets from \S+, disconnecting: /);
    assert.equal(existsSync(path), false);
  }
});

async function guestOn(path: string): Promise<Socket> {
  const socket = connect(path);
  await once(socket, 'connect');
  await plugStream(socket, socket, BIG_32, MAC).dhcp();
  return socket;
}

test('links of -link and of the file stay when their VMs go; the flag replaces the list', async () => {
  const folder = temporaryFolder();
  const config = join(folder, 'gvproxy.yaml');
  writeFileSync(config, `links:\n  - qemu+unix://${folder}/a.sock?name=web\n  - qemu+tcp://127.0.0.1:0\n`);
  const program = new Running(GVPROXY, ['-config', config]);
  await running(program, 'qemu+tcp');
  assert.match(program.output, new RegExp(`link qemu\\+unix://${folder}/a.sock\\?name=web is open"`));
  assert.match(program.output, /link qemu\+tcp:\/\/127\.0\.0\.1:0 is open on tcp:\/\/127\.0\.0\.1:\d+"/);
  (await guestOn(join(folder, 'a.sock'))).destroy();
  await running(program, 'cannot receive packets from web, disconnecting');
  (await guestOn(join(folder, 'a.sock'))).destroy();
  assert.equal(await program.kill('SIGTERM'), 0);
  assert.equal(existsSync(join(folder, 'a.sock')), false);

  const other = new Running(GVPROXY, ['-config', config, '-link', `qemu+unix://${folder}/b.sock`]);
  await running(other, 'b.sock is open');
  assert.equal(existsSync(join(folder, 'a.sock')), false);
  await other.kill('SIGTERM');
});

test('a QEMU that listens is connected to, and again after it has gone', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const program = new Running(GVPROXY, [...NO_SSH, '-link', `qemu+tcp://127.0.0.1:${port}?connect=1&name=vm`]);
  for (let i = 0; i < 2; i++) {
    const [socket] = (await once(server, 'connection', { signal: AbortSignal.timeout(10_000) })) as [Socket];
    await plugStream(socket, socket, BIG_32, MAC).dhcp();
    socket.destroy();
  }
  server.close();
  await running(program, `cannot connect to tcp://127.0.0.1:${port}: connection refused (it is tried again)`);
  assert.equal(await program.kill('SIGTERM'), 0);
});

test('an inherited connection is the only VM: the program ends with it; one beside a listener ends nothing', async () => {
  const folder = temporaryFolder();
  for (const more of [[], ['-link', `qemu+unix://${folder}/vm.sock`]]) {
    const child = spawn(GVPROXY, [...NO_SSH, '-link', 'fd:3?name=vm', ...more], { stdio: ['ignore', 'ignore', 'pipe', 'pipe'] });
    let log = '';
    child.stderr!.on('data', (chunk: Buffer) => (log += chunk.toString()));
    const wire = child.stdio[3] as Socket;
    await plugStream(wire, wire, BIG_32, MAC).dhcp();
    wire.destroy();
    await until(() => log.includes('disconnecting'), 'the end of the VM');
    if (more.length > 0) {
      (await guestOn(join(folder, 'vm.sock'))).destroy();
      child.kill('SIGTERM');
    }
    const [status] = (await once(child, 'close')) as [number];
    assert.equal(status, 0, log);
    const last = more.length > 0 ? 'signal caught' : 'cannot receive packets from vm, disconnecting: cannot read size from socket: EOF';
    assert.equal(records(log).at(-1), `error: gvproxy exiting: ${last}`);
  }
});

test('links that can not be opened end the start: what is no link at once, with the texts of the socket otherwise', async () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'file'), '');
  const cases: [string, RegExp][] = [
    ['unix:///x', /^fatal: cannot attach "unix:\/\/\/x": there is no link unix; there are qemu\+unix:\/\/\/PATH, /],
    [`qemu+unix://${folder}/file`, /^fatal: ".*\/file" already exists \(it is not a socket: choose another path\)$/],
    [
      'qemu+unix:///nonexistent/s',
      /^error: gvproxy exiting: cannot open link \S+: listen unix \/nonexistent\/s: bind: no such file or directory$/,
    ],
    [
      'dgram+mcast://239.255.71.3:0?interface=203.0.113.9',
      /^error: gvproxy exiting: cannot open link \S+: IP_ADD_MEMBERSHIP 239.255.71.3:0: no such device \(no interface leads/,
    ],
    [
      'fd:77',
      /^error: gvproxy exiting: cannot open link fd:77: listen fd:77: open: bad file descriptor \(whoever starts this program has to open it\)$/,
    ],
  ];
  for (const [url, last] of cases) {
    const { status, log } = await ended('-link', url);
    assert.equal(status, 1);
    assert.match(log.at(-1)!, last);
  }
});

test('a path that a program has is not called a left-over, whatever kind of socket stands there', async () => {
  const folder = temporaryFolder();
  const network = await VirtualNetwork.create();
  for (const [url, path] of [
    ['vfkit+unixgram', 'vfkit'],
    ['bess+unixpacket', 'bess'],
    ['qemu+unix', 'qemu'],
  ] as const) {
    await network.attach(`${url}://${folder}/${path}`);
    if (path === 'vfkit') {
      // The socket that stands there now was renamed.
      const vm = MessageEnd.unix(SOCK_DGRAM, join(folder, path), join(folder, 'vm'));
      vm.send(Buffer.from('VFKT'));
      await once(network, 'connected');
    }
    const { status, log } = await ended('-link', `${url}://${folder}/${path}`);
    assert.equal(status, 1);
    assert.match(log.at(-1)!, /already exists \(a program listens on it/);
  }
  await network.close();
});
