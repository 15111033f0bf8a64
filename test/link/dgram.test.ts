import assert from 'node:assert/strict';
import { existsSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { IpAddress } from '../../src/packet/address.ts';
import { openMulticast, openUdpDgram } from '../../src/link/dgram-udp.ts';
import { openUnixDgram } from '../../src/link/dgram-unix.ts';
import type { Link } from '../../src/link/link.ts';
import { SOCK_DGRAM } from '../../src/system/constants.ts';
import { check } from '../../src/system/error.ts';
import { close, shutdown } from '../../src/system/syscalls.ts';
import { bindUnix } from '../../src/system/unix-listener.ts';
import { MessageEnd, MulticastEnd, UnconnectedEnd, type VmEnd } from './vm-ends.ts';
import { descriptors, numbered, numberOf, World } from './world.ts';

const LOOPBACK = IpAddress.parse('127.0.0.1')!;
const GROUP = '239.255.71.2';
const PORT = 37_000 + (process.pid % 10_000);

let world: World;
let open: { close(): void }[];
let heard: number[];
/** Of the clock: several in each round of the loop. */
let readings: number;

beforeEach(() => {
  readings = 0;
  world = new World({ now: () => (readings++, performance.now()) });
  open = [];
  heard = [];
  world.onFrame = (_, frame) => void heard.push(numberOf(frame));
});

afterEach(() => {
  for (const one of open) one.close();
  world.close();
});

function kept<T extends { close(): void }>(one: T): T {
  open.push(one);
  return one;
}

function kill(end: VmEnd): void {
  open.splice(open.indexOf(end), 1);
  end.close();
}

function unixLink(): { link: Link; local: string; remote: string } {
  const [local, remote] = [join(world.folder, 'local'), join(world.folder, 'remote')];
  return { link: kept(openUnixDgram({ local, remote }, world.environment)), local, remote };
}

function send(number: number, length = 60): void {
  assert.ok(world.send(world.ports[0]!, numbered(number, length)));
}

/** The next frame that the VM has. */
async function next(end: VmEnd): Promise<number> {
  let frame: Uint8Array | null = null;
  await world.until(() => (frame = end.receive()) !== null, 'a frame for the VM');
  return numberOf(frame!);
}

test('frames for a QEMU that is not there are lost and counted, and the first one after it has come arrives', async () => {
  const { local, remote } = unixLink();
  const { counters } = world.ports[0]!;
  for (let i = 0; i < 10; i++) send(i);
  await world.until(() => counters.txDropped === 10, 'ten losses');
  assert.deepEqual([counters.txFrames, counters.txBytes], [0, 0]);
  for (let round = 0; round < 3; round++) {
    const qemu = kept(UnconnectedEnd.unix(local, remote));
    send(100 + round);
    assert.equal(await next(qemu), 100 + round);
    qemu.send(numbered(200 + round, 60));
    await world.until(() => heard.pop() === 200 + round, 'its frame');
    kill(qemu);
    send(round);
    await world.until(() => counters.txDropped === 11 + round, 'another loss');
    unlinkSync(remote);
  }
  assert.deepEqual(world.events, ['connected 0']);
});

test('a peer that has connected to our path hears the socket there, and one after it that has not hears, too', async () => {
  const { local, remote } = unixLink();
  const connected = kept(MessageEnd.unix(SOCK_DGRAM, local, remote));
  for (let i = 0; i < 3; i++) {
    send(i);
    assert.equal(await next(connected), i);
  }
  kill(connected);
  unlinkSync(remote);
  const qemu = kept(UnconnectedEnd.unix(local, remote));
  send(7);
  assert.equal(await next(qemu), 7);
});

test('a full queue that epoll does not tell of is tried again by time, without losing anything or turning in circles', async () => {
  const { local, remote } = unixLink();
  const connected = kept(MessageEnd.unix(SOCK_DGRAM, local, remote));
  send(0);
  assert.equal(await next(connected), 0);
  // Frames still leave through the socket at our path, whose poll knows nothing of this queue.
  kill(connected);
  unlinkSync(remote);
  const slow = kept(UnconnectedEnd.unix(local, remote));
  for (let i = 1; i <= 100; i++) send(i);
  await world.settle();
  readings = 0;
  await new Promise((resolve) => setTimeout(resolve, 100));
  // An attempt each four milliseconds; thousands where the loop asks epoll again and again.
  assert.ok(readings > 0 && readings < 400, `${readings} readings of the clock in 100 milliseconds of waiting`);
  for (let i = 1; i <= 100; i++) assert.equal(await next(slow), i);
});

test('a peer that takes frames no more, though it is there, costs those frames and no time', async () => {
  const { remote } = unixLink();
  const { fd } = bindUnix(remote, { type: SOCK_DGRAM });
  const SHUT_RD = 0;
  check(shutdown(fd, SHUT_RD), 'shutdown');
  const { counters } = world.ports[0]!;
  for (let i = 0; i < 3; i++) send(i);
  await world.until(() => counters.txDropped === 3, 'three losses');
  close(fd);
});

test("our path is taken from a socket that is gone, and from nobody else; it is its owner's alone, and goes with the link", () => {
  const { link, local, remote } = unixLink();
  assert.equal(statSync(local).mode & 0o777, 0o600);
  const before = descriptors();
  assert.throws(() => openUnixDgram({ local, remote }, world.environment), { code: 'EADDRINUSE' });
  writeFileSync(join(world.folder, 'file'), '');
  assert.throws(() => openUnixDgram({ local: join(world.folder, 'file'), remote }, world.environment), { code: 'EADDRINUSE' });
  assert.throws(() => openUnixDgram({ local: join(world.folder, 'new'), remote: 'x'.repeat(108) }, world.environment), {
    code: 'EINVAL',
    message: /1 to 107 bytes/,
  });
  assert.equal(descriptors(), before);
  link.close();
  assert.ok(!existsSync(local));
  UnconnectedEnd.unix(remote, local).close();
  assert.ok(existsSync(local), 'a dead socket');
  kept(openUnixDgram({ local, remote }, world.environment));
});

test('over UDP only datagrams of the remote count, and a remote that refuses them costs only frames', async () => {
  const remote = { address: LOOPBACK, port: PORT };
  const link = kept(openUdpDgram({ local: { address: LOOPBACK, port: 0 }, remote }, world.environment));
  assert.match(link.address, /^udp:\/\/127\.0\.0\.1:[1-9]\d*$/);
  assert.equal(world.ports[0]!.name, `127.0.0.1:${PORT}`);
  const own = Number(/\d+$/.exec(link.address)![0]);
  for (let i = 0; i < 5; i++) {
    send(i);
    await world.settle();
  }
  assert.deepEqual(world.events, ['connected 0']);
  const stranger = kept(UnconnectedEnd.udp(PORT + 1, own));
  const qemu = kept(UnconnectedEnd.udp(PORT, own));
  stranger.send(numbered(1, 60));
  qemu.send(numbered(2, 60));
  await world.until(() => heard.length > 0, 'a frame');
  await world.settle();
  assert.deepEqual(heard, [2]);
  // What the refusals have left behind may take one frame.
  send(3);
  send(4);
  const first = await next(qemu);
  if (first === 3) assert.equal(await next(qemu), 4);
  else assert.equal(first, 4);
});

test('over UDP a frame that no datagram holds is lost and counted, and the others arrive', async () => {
  const remote = { address: LOOPBACK, port: PORT };
  const link = kept(openUdpDgram({ local: { address: LOOPBACK, port: 0 }, remote }, world.environment));
  const qemu = kept(UnconnectedEnd.udp(PORT, Number(/\d+$/.exec(link.address)![0])));
  send(1);
  send(2, 65_508);
  send(3);
  assert.deepEqual([await next(qemu), await next(qemu)], [1, 3]);
  const { txFrames, txDropped, txBytes } = world.ports[0]!.counters;
  assert.deepEqual({ txFrames, txDropped, txBytes }, { txFrames: 2, txDropped: 1, txBytes: 120 });
});

test('all members of a multicast group are behind one port, and none of our own frames comes back', async () => {
  const group = { address: IpAddress.parse(GROUP)!, port: PORT };
  const link = kept(openMulticast({ group, interface: LOOPBACK }, world.environment));
  assert.equal(link.address, `mcast://${GROUP}:${PORT}`);
  const [a, b] = [kept(new MulticastEnd(GROUP, PORT)), kept(new MulticastEnd(GROUP, PORT))];
  send(1);
  assert.deepEqual([await next(a), await next(b)], [1, 1]);
  a.send(numbered(2, 60));
  b.send(numbered(3, 60));
  await world.until(() => heard.length === 2, 'two frames');
  await world.settle();
  assert.deepEqual(heard, [2, 3]);
  assert.equal(world.ports.length, 1);
  // Another guestwire in the group is somebody else.
  const other = new World();
  const theirs: number[] = [];
  other.onFrame = (_, frame) => void theirs.push(numberOf(frame));
  const second = openMulticast({ group, interface: LOOPBACK }, other.environment);
  send(4);
  await other.until(() => theirs.length === 1, 'our frame, there');
  other.send(other.ports[0]!, numbered(5, 60));
  await world.until(() => heard.length === 3, 'their frame, here');
  assert.deepEqual([theirs, heard], [[4], [2, 3, 5]]);
  second.close();
  other.close();
});

test('a group or an interface that is none is refused with what is wanted, and leaves no descriptor', () => {
  const before = descriptors();
  const attempt = (group: string, own?: string): (() => unknown) => {
    const place = { address: IpAddress.parse(group)!, port: PORT };
    return () => openMulticast({ group: place, ...(own === undefined ? {} : { interface: IpAddress.parse(own)! }) }, world.environment);
  };
  assert.throws(attempt('10.0.0.1'), { code: 'EINVAL', message: /not an IPv4 multicast group/ });
  assert.throws(attempt('ff02::1'), { code: 'EINVAL', message: /not an IPv4 multicast group/ });
  assert.throws(attempt(GROUP, '192.0.2.1'), { code: 'ENODEV', message: /name the address of one/ });
  const taken = kept(openUdpDgram({ local: { address: LOOPBACK, port: PORT }, remote: { address: LOOPBACK, port: 9 } }, world.environment));
  const again = (): unknown =>
    openUdpDgram({ local: { address: LOOPBACK, port: PORT }, remote: { address: LOOPBACK, port: 9 } }, world.environment);
  assert.throws(again, { code: 'EADDRINUSE', message: new RegExp(`bind EADDRINUSE 127.0.0.1:${PORT}`) });
  taken.close();
  assert.equal(descriptors(), before);
});
