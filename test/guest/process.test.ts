import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseIpv4 } from '../../src/packet/address.ts';
import * as ethernet from '../../src/packet/ethernet.ts';
import * as ipv4 from '../../src/packet/ipv4.ts';
import * as tcp from '../../src/packet/tcp.ts';
import { writeSynOptions } from '../../src/packet/tcp-options.ts';
import { SoftGuest } from '../../src/testing/index.ts';
import { Gvproxy } from './gvproxy.ts';
import { delay, GVPROXY, Running, succeed, temporaryFolder, until } from './process.ts';

const MAC = '5a:94:ef:e4:0c:ee';
/** For programs that need no port of the host. */
const NO_SSH = ['-ssh-port', '-1'];

/** A soft guest behind the program's socket, as QEMU would be. */
function plug(socket: Socket, mac = MAC, write = (bytes: Buffer): void => void socket.write(bytes)): SoftGuest {
  const guest = new SoftGuest({
    mac,
    scheduler: {
      now: () => performance.now(),
      after(ms, run) {
        const timer = setTimeout(run, ms);
        return () => clearTimeout(timer);
      },
    },
    wire: {
      send(frame) {
        write(framed(frame));
        return true;
      },
    },
  });
  onFrame(socket, (frame) => guest.receive(frame, 0, frame.length));
  return guest;
}

function onFrame(socket: Socket, receive: (frame: Buffer) => void): void {
  let pending = Buffer.alloc(0);
  socket.on('data', (chunk) => {
    pending = Buffer.concat([pending, chunk]);
    while (pending.length >= 4 && pending.length >= 4 + pending.readUInt32BE(0)) {
      const length = pending.readUInt32BE(0);
      receive(pending.subarray(4, 4 + length));
      pending = pending.subarray(4 + length);
    }
  });
}

function framed(frame: Uint8Array): Buffer {
  const bytes = Buffer.alloc(4 + frame.length);
  bytes.writeUInt32BE(frame.length);
  bytes.set(frame, 4);
  return bytes;
}

async function attach(gvproxy: Gvproxy): Promise<Socket> {
  for (;;) {
    const socket = connect(gvproxy.socket);
    const error = await new Promise<Error | null>((resolve) => {
      socket.once('connect', () => resolve(null));
      socket.on('error', resolve);
    });
    if (error === null) return socket;
    // The socket's file is there before anybody listens on it.
    await delay(5);
  }
}

test('answers DHCP within 300 ms of its start', async () => {
  const times: number[] = [];
  for (let i = 0; i < 5; i++) {
    const gvproxy = await Gvproxy.start();
    const socket = await attach(gvproxy);
    const lease = await plug(socket).dhcp();
    times.push(performance.now() - gvproxy.process.started);
    assert.equal(lease.address, '192.168.127.2');
    socket.destroy();
    await gvproxy.process.ended;
  }
  // Whatever else the machine does makes a start slower, never quicker.
  assert.ok(Math.min(...times) < 300, `${times.map((time) => time.toFixed(0)).join(', ')} ms`);
});

test('§2.3: tells its version within 120 ms', async () => {
  const times: number[] = [];
  for (let i = 0; i < 7; i++) {
    const start = performance.now();
    assert.match(await succeed(GVPROXY, ['-version']), /^gvproxy version v/);
    times.push(performance.now() - start);
  }
  assert.ok(Math.min(...times) < 120, `${times.map((time) => time.toFixed(0)).join(', ')} ms`);
});

/** CPU seconds and peak resident memory in MB of a process, from /proc. */
function usage(pid: number): { cpu: number; memory: number } {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/.*\) /, '').split(' ');
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return { cpu: (Number(fields[11]) + Number(fields[12])) / 100, memory: Number(/VmHWM:\s+(\d+)/.exec(status)![1]) / 1024 };
}

test('idles under 1 % CPU and 90 MB with a silent guest', async () => {
  const gvproxy = await Gvproxy.start();
  const socket = await attach(gvproxy);
  await plug(socket).dhcp();
  await delay(1000);
  const pid = gvproxy.process.child.pid!;
  const start = usage(pid);
  await delay(5000);
  const end = usage(pid);
  assert.ok(end.cpu - start.cpu <= 0.05, `${end.cpu - start.cpu} CPU seconds in 5 s`);
  assert.ok(end.memory < 90, `${end.memory} MB`);
  socket.destroy();
  await gvproxy.process.ended;
});

test('ends with status 0 and removes its files when the last VM goes', async () => {
  const gvproxy = await Gvproxy.start();
  const pidFile = `${gvproxy.folder}/pid`;
  const [first, second] = [await attach(gvproxy), await attach(gvproxy)];
  first.destroy();
  await delay(200);
  assert.equal(gvproxy.process.child.exitCode, null);
  second.destroy();
  assert.equal(await gvproxy.process.ended, 0);
  assert.equal(existsSync(gvproxy.socket) || existsSync(pidFile), false);
  assert.match(gvproxy.process.output, /level=error msg="cannot receive packets from @, disconnecting: cannot read size from socket: EOF"/);
});

test('ends within a second of SIGTERM with a VM attached, status 0', async () => {
  const gvproxy = await Gvproxy.start({ flags: ['-pid-file', '/tmp/guestwire-test-pid'] });
  await attach(gvproxy);
  assert.equal(readFileSync('/tmp/guestwire-test-pid', 'utf8'), String(gvproxy.process.child.pid));
  const started = performance.now();
  assert.equal(await gvproxy.process.kill('SIGTERM'), 0);
  assert.ok(performance.now() - started < 1000);
  assert.match(gvproxy.process.output, /msg="gvproxy exiting: signal caught"/);
  assert.equal(existsSync(gvproxy.socket) || existsSync('/tmp/guestwire-test-pid'), false);
});

test('a frame longer than 128 KiB closes that VM and nothing else', async () => {
  const gvproxy = await Gvproxy.start();
  const [good, bad] = [await attach(gvproxy), await attach(gvproxy)];
  const guest = plug(good);
  await guest.dhcp();
  const length = Buffer.alloc(4);
  length.writeUInt32BE(131_073);
  bad.resume();
  bad.write(length);
  await new Promise<void>((resolve) => bad.once('close', () => resolve()));
  await until(
    () => gvproxy.process.output.includes('invalid packet size: 131073 is negative or exceeds maximum 131072'),
    'the reason in the log',
  );
  await guest.ping('192.168.127.1');
  good.destroy();
  await gvproxy.process.ended;
});

test('survives frames of every length, garbage, truncated headers and half a frame', async () => {
  const gvproxy = await Gvproxy.start();
  const [good, bad] = [await attach(gvproxy), await attach(gvproxy)];
  const guest = plug(good);
  await guest.dhcp();
  bad.resume();
  const write = async (bytes: Uint8Array): Promise<void> => {
    if (!bad.write(bytes)) await new Promise<void>((resolve) => bad.once('drain', () => resolve()));
  };
  let seed = 1;
  const header = Buffer.from('5a94efe40cdd525400aaaaaa', 'hex');
  for (let length = 0; length <= 131_072; length += length < 2000 ? 1 : 997) {
    const frame = Buffer.alloc(length);
    for (let i = 0; i < Math.min(length, 120); i++) frame[i] = (seed = (seed * 1103515245 + 12345) & 0x7fffffff) >> 16;
    header.copy(frame);
    if (length > 34) frame.set(length % 3 === 0 ? [0x08, 0x06] : [0x08, 0x00, 0x45], 12);
    if (length > 34) frame.set([192, 168, 127, 9, 192, 168, 127, length % 256], 26);
    await write(framed(frame));
  }
  await write(Buffer.from('000003e80102', 'hex'));
  await delay(100);
  bad.destroy();
  await guest.ping('192.168.127.1');
  assert.ok(usage(gvproxy.process.child.pid!).memory < 120, `${usage(gvproxy.process.child.pid!).memory} MB`);
  good.destroy();
  assert.equal(await gvproxy.process.ended, 0, gvproxy.process.output);
});

test('a VM that stops reading delays no other, and gets its data when it reads on', async () => {
  const block = Buffer.alloc(1 << 16, 'x');
  const endless = createServer((socket) => {
    socket.on('error', () => {});
    const more = (): void => {
      while (!socket.destroyed && socket.write(block));
    };
    socket.on('drain', more);
    more();
  });
  endless.listen(0, '127.0.0.1').unref();
  await once(endless, 'listening');
  const { port } = endless.address() as AddressInfo;
  const gvproxy = await Gvproxy.start();
  const [stalled, other] = [await attach(gvproxy), await attach(gvproxy)];
  const [first, second] = [plug(stalled), plug(other, '5a:94:ef:e4:0c:ef')];
  await first.dhcp();
  await second.dhcp();
  let got = 0;
  const downloads = [await first.connect('192.168.127.254', port), await first.connect('192.168.127.254', port)];
  for (const download of downloads) download.on('data', (chunk: Buffer) => (got += chunk.length)).on('error', () => {});
  await until(() => got > 1 << 20, 'the download to run');
  stalled.pause();
  await delay(300);
  const times: number[] = [];
  for (let i = 0; i < 20; i++) times.push(await second.ping('192.168.127.1'));
  const median = times.toSorted((a, b) => a - b)[10]!;
  assert.ok(median < 20, `median ping ${median} ms beside a VM that doesn't read`);
  let received = 0;
  const download = await second.connect('192.168.127.254', port);
  download.on('data', (chunk: Buffer) => (received += chunk.length)).on('error', () => {});
  await until(() => received > 8 << 20, 'the other VM to get 8 MB');
  assert.ok(usage(gvproxy.process.child.pid!).memory < 120, `${usage(gvproxy.process.child.pid!).memory} MB`);
  const before = got;
  stalled.resume();
  await until(() => got > before + (8 << 20), 'the stalled VM to go on');
  stalled.destroy();
  other.destroy();
  assert.equal(await gvproxy.process.ended, 0, gvproxy.process.output);
  endless.close();
});

/** Opens `count` connections to the host's `port` by hand and sends one byte out of order in each. */
async function sendBytesOutOfOrder(socket: Socket, port: number, count: number): Promise<void> {
  const segment = (guestPort: number, seq: number, ack: number, flags: number, data: number): void => {
    const options = Buffer.alloc(40);
    // With window scaling the window, and what the guest can make us buffer, is large.
    const header = tcp.HEADER + (flags & tcp.SYN ? writeSynOptions(options, 0, 1460, 7, true) : 0);
    const length = ipv4.HEADER + header + data;
    const frame = Buffer.alloc(ethernet.HEADER + length);
    const [from, to] = [parseIpv4('192.168.127.77')!, parseIpv4('192.168.127.254')!];
    ethernet.write(frame, 0, 0x5a94, 0xefe40cdd, 0x5254, 0x77, ethernet.TYPE_IPV4);
    ipv4.write(frame, ethernet.HEADER, length, 0, ipv4.FLAG_DF, 64, ipv4.PROTOCOL_TCP, from, to);
    tcp.write(frame, ethernet.HEADER + ipv4.HEADER, guestPort, port, seq, ack, header, flags, 65_535);
    options.copy(frame, ethernet.HEADER + ipv4.HEADER + tcp.HEADER, 0, header - tcp.HEADER);
    socket.write(framed(frame));
  };
  let [opened, acknowledged] = [0, 0];
  onFrame(socket, (frame) => {
    if (ethernet.type(frame, 0) !== ethernet.TYPE_IPV4 || ipv4.protocol(frame, ethernet.HEADER) !== ipv4.PROTOCOL_TCP) return;
    const at = ethernet.HEADER + ipv4.HEADER;
    assert.equal(tcp.flags(frame, at) & tcp.RST, 0, 'a connection is reset');
    if ((tcp.flags(frame, at) & tcp.SYN) === 0) {
      acknowledged++;
      return;
    }
    segment(tcp.destinationPort(frame, at), 1, tcp.sequence(frame, at) + 1, tcp.ACK, 0);
    segment(tcp.destinationPort(frame, at), 6, tcp.sequence(frame, at) + 1, tcp.ACK, 1);
    opened++;
  });
  for (let i = 0; i < count; i++) {
    segment(10_000 + i, 0, 0, tcp.SYN, 0);
    if (i % 50 === 49) await until(() => opened > i, `${i + 1} connections`);
  }
  await until(() => acknowledged >= count, 'an acknowledgment of each byte');
}

test('a VM with bytes out of order in 600 connections takes no memory that another VM needs', async () => {
  const server = createServer((socket) => socket.on('error', () => {}));
  server.listen(0, '127.0.0.1', 1024).unref();
  await once(server, 'listening');
  const gvproxy = await Gvproxy.start();
  const [good, bad] = [await attach(gvproxy), await attach(gvproxy)];
  let written = Promise.resolve();
  const inTwoPieces = (bytes: Buffer): void => {
    written = written.then(async () => {
      good.write(bytes.subarray(0, 30));
      await delay(20);
      good.write(bytes.subarray(30));
    });
  };
  await sendBytesOutOfOrder(bad, (server.address() as AddressInfo).port, 600);
  const guest = plug(good, MAC, inTwoPieces);
  await guest.dhcp();
  await guest.ping('192.168.127.1');
  const late = await attach(gvproxy);
  await plug(late, '5a:94:ef:e4:0c:ef').dhcp();
  bad.destroy();
  await until(() => gvproxy.process.output.includes('disconnecting'), 'the VM to be gone');
  for (let i = 0; i < 8; i++) {
    const socket = await attach(gvproxy);
    await plug(socket, `5a:94:ef:e4:0d:0${i}`).dhcp();
    socket.destroy();
  }
  await guest.ping('192.168.127.1');
  for (const socket of [good, late]) socket.destroy();
  assert.equal(await gvproxy.process.ended, 0, gvproxy.process.output);
  server.close();
});

test('bad flags and addresses end with the messages and statuses of the contract', async () => {
  const cases: [string[], number, RegExp][] = [
    [['-foo'], 2, /^flag provided but not defined: -foo\nUsage of gvproxy:\n/],
    [['-mtu'], 2, /^flag needs an argument: -mtu\n/],
    [['-mtu', 'abc'], 2, /^invalid value "abc" for flag -mtu: parse error\n/],
    [['-debug=maybe'], 2, /^invalid boolean value "maybe" for -debug: parse error\n/],
    [['---x'], 2, /^bad flag syntax: ---x\n/],
    [['-help'], 0, /^Usage of gvproxy:\n {2}-api-token-file string\n/],
    [['-subnet', 'nonsense'], 1, /level=fatal msg="failed to parse subnet: invalid CIDR address: nonsense"/],
    [['-subnet', '10.0.0.0/30'], 1, /failed to identify usable gateway IP address in subnet: subnet too small/],
    [['-subnet', '192.168.127.1/24'], 1, /failed to validate configuration IPs: IP must not be address of subnet: 192.168.127.1/],
    [['-gatewayIP', '10.0.0.1'], 1, /failed to validate configuration IPs: IP \(10.0.0.1\) not in subnet \(192.168.127.0\/24\)/],
    [['-gatewayIP', '192.168.127.2'], 1, /IP addresses need to be distinct/],
    [['-hostIP', '192.168.127.255'], 1, /IP must not be broadcast address: 192.168.127.255/],
    [['-ssh-port', '80'], 1, /msg="ssh-port value must be between 1024 and 65535"/],
    [['-mtu', '-5'], 1, /msg="gvproxy exiting: mtu is out of range: -5 \(flag -mtu takes 68 to 65535\)"/],
    [['-mtu', '70000'], 1, /msg="gvproxy exiting: mtu is out of range: 70000 \(flag -mtu takes 68 to 65535\)"/],
    [['-listen-qemu', 'unix:///dev/null'], 1, /"\\"\/dev\/null\\" already exists \(it is not a socket: choose another path\)"/],
    [
      [...NO_SSH, '-listen-vfkit', 'unixgram:///nonexistent/x'],
      1,
      /"gvproxy exiting: vfkit listen error: listen unix \/nonexistent\/x: bind: no such file or directory"/,
    ],
    [
      ['-log-file', '/nonexistent/log'],
      1,
      /fatal msg="unable to open log file \/nonexistent\/log \(flag -log-file: .*no such file or directory\)"/,
    ],
    [[...NO_SSH, '-pcap', '/nonexistent/c'], 1, /"gvproxy exiting: open \/nonexistent\/c: no such file or directory \(flag -pcap\)"/],
    [['-pid-file', '/nonexistent/p'], 1, /"failed to create pidfile: open \/nonexistent\/p: no such file or directory \(flag -pid-file\)"/],
    [['-listen-qemu', '127.0.0.1:4555'], 1, /parse \\"127\.0\.0\.1:4555\\": first path segment in URL cannot contain colon \(want/],
    [['-listen-qemu', 'tcp://127.0.0.1:x'], 1, /fatal msg="invalid value for qemu listen address: .*: invalid port \\":x\\" after host/],
    [
      [...NO_SSH, '-listen-qemu', 'tcp://127.0.0.1:99999'],
      1,
      /"gvproxy exiting: qemu listen error: listen tcp: address 99999: invalid port"/,
    ],
    [[...NO_SSH, '-listen-qemu', 'tcp://127.0.0.1'], 1, /qemu listen error: listen tcp: address 127\.0\.0\.1: missing port in address"/],
    [
      [...NO_SSH, '-listen-qemu', 'unix:///nonexistent/s'],
      1,
      /qemu listen error: listen unix \/nonexistent\/s: bind: no such file or directory"/,
    ],
  ];
  for (const [args, status, text] of cases) {
    const program = new Running(GVPROXY, args);
    assert.equal(await program.ended, status, `${args.join(' ')}: ${program.output}`);
    assert.match(program.output, text, args.join(' '));
    if (!program.output.startsWith('time=')) continue;
    assert.equal(program.output.match(/level=(error|fatal)/g)!.length, 1, `one record says it: ${program.output}`);
  }
});

test('a forward whose port is taken ends the program with a message that names the flag', async () => {
  const first = await Gvproxy.start();
  const second = new Running(GVPROXY, ['-ssh-port', String(first.sshPort)]);
  assert.equal(await second.ended, 1);
  const text = `gvproxy exiting: cannot add network services: listen tcp 127.0.0.1:${first.sshPort}: bind: address already in use`;
  assert.ok(second.output.includes(`"${text} (flag -ssh-port takes another port, or -1 for none)"`), second.output);
  await until(() => first.process.child.exitCode === null, 'the first to go on');
  await first.process.kill('SIGTERM');
});

test('the log begins with the version, as callers look for it', async () => {
  const gvproxy = await Gvproxy.start();
  await gvproxy.process.kill('SIGTERM');
  assert.match(gvproxy.process.output, /^time="[^"]+" level=info msg="gvproxy version v\d+\.\d+\.\d+"\n/);
});

test('listens for QEMU on every address, on localhost and on a port that the kernel chooses', async () => {
  for (const url of ['tcp://:0', 'tcp://localhost:0']) {
    const gvproxy = await Gvproxy.start({ url });
    const listening = /msg="listening for QEMU on tcp:\/\/\S+:(\d+)"/;
    await until(() => listening.test(gvproxy.process.output), 'the address in the log');
    const socket = connect(Number(listening.exec(gvproxy.process.output)![1]), '127.0.0.1');
    await new Promise<void>((resolve) => socket.once('connect', resolve));
    await plug(socket).dhcp();
    socket.destroy();
    assert.equal(await gvproxy.process.ended, 0);
  }
});

test('a second instance that fails leaves the pid file of the first', async () => {
  const pidFile = join(temporaryFolder(), 'pid');
  const first = await Gvproxy.start({ flags: ['-pid-file', pidFile] });
  const pid = String(first.process.child.pid);
  const second = new Running(GVPROXY, ['-ssh-port', String(first.sshPort), '-pid-file', pidFile]);
  assert.equal(await second.ended, 1);
  assert.equal(readFileSync(pidFile, 'utf8'), pid);
  await first.process.kill('SIGTERM');
  assert.equal(existsSync(pidFile), false);
});

test('a pid file that another process has taken over is left to it, one of a process that is gone is not', async () => {
  const pidFile = join(temporaryFolder(), 'pid');
  const gone = new Running(process.execPath, ['-e', '']);
  await gone.ended;
  writeFileSync(pidFile, String(gone.child.pid));
  assert.equal(await new Running(GVPROXY, ['-mtu', '-5', '-pid-file', pidFile]).ended, 1);
  assert.equal(existsSync(pidFile), false);

  const gvproxy = await Gvproxy.start({ flags: ['-pid-file', pidFile] });
  writeFileSync(pidFile, '1');
  await gvproxy.process.kill('SIGTERM');
  assert.equal(readFileSync(pidFile, 'utf8'), '1');
});

test('says whether the socket that is in the way is in use or left over', async () => {
  const first = await Gvproxy.start();
  const again = async (): Promise<string> => {
    const second = new Running(GVPROXY, [...NO_SSH, '-listen-qemu', first.url]);
    assert.equal(await second.ended, 1);
    return second.output;
  };
  assert.ok((await again()).includes(`msg="\\"${first.socket}\\" already exists (a program listens on it: `));
  // Had it connected to find out, the first would have seen its last VM go.
  assert.equal(first.process.child.exitCode, null);
  await first.process.kill('SIGKILL');
  const output = await again();
  assert.ok(output.includes(`msg="\\"${first.socket}\\" already exists (nobody seems to listen on it: `), output);
  assert.ok(output.includes(`rm ${first.socket})"`), output);
});

test('SIGHUP ends it as it would end gvproxy, with its files removed', async () => {
  const pidFile = join(temporaryFolder(), 'pid');
  const gvproxy = await Gvproxy.start({ flags: ['-pid-file', pidFile] });
  await gvproxy.process.kill('SIGHUP');
  assert.equal(gvproxy.process.child.signalCode, 'SIGHUP');
  assert.match(gvproxy.process.output, /msg="gvproxy exiting: signal caught"/);
  assert.equal(existsSync(gvproxy.socket) || existsSync(pidFile), false);
});
