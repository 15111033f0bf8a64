/** Links whose messages are frames, where opening them fails half-way. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { IpAddress } from '../../src/packet/address.ts';
import { openBess } from '../../src/link/bess.ts';
import { openMulticast, openUdpDgram } from '../../src/link/dgram-udp.ts';
import { openUnixDgram } from '../../src/link/dgram-unix.ts';
import type { LinkEnvironment } from '../../src/link/link.ts';
import { attachMessageDescriptor } from '../../src/link/message-descriptor.ts';
import { MessageRegion } from '../../src/link/message-region.ts';
import { openVfkit } from '../../src/link/vfkit.ts';
import { SOCK_DGRAM, SOCK_SEQPACKET } from '../../src/system/constants.ts';
import { takeInherited } from '../../src/system/inherited.ts';
import { close } from '../../src/system/syscalls.ts';
import { listenUnix } from '../../src/system/unix-listener.ts';
import { socketpair } from '../system/descriptors.ts';
import { MessageEnd } from './vm-ends.ts';
import { descriptors, numbered, World } from './world.ts';

const LOOPBACK = IpAddress.parse('127.0.0.1')!;
const PORT = 27_000 + (process.pid % 10_000);
const GROUP = { address: IpAddress.parse('239.255.71.3')!, port: PORT };

const OPENERS: Record<string, (environment: LinkEnvironment, folder: string) => unknown> = {
  bess: (environment, folder) => openBess({ path: join(folder, 'a') }, environment),
  vfkit: (environment, folder) => openVfkit({ path: join(folder, 'a') }, environment),
  'dgram, unix': (environment, folder) => openUnixDgram({ local: join(folder, 'a'), remote: join(folder, 'b') }, environment),
  'dgram, UDP': (environment) =>
    openUdpDgram({ local: { address: LOOPBACK, port: 0 }, remote: { address: LOOPBACK, port: PORT } }, environment),
  mcast: (environment) => openMulticast({ group: GROUP, interface: LOOPBACK }, environment),
  'fd of a pair': (environment) => {
    const [ours, theirs] = socketpair(SOCK_DGRAM);
    close(theirs);
    return attachMessageDescriptor(takeInherited(ours), { offload: false }, environment);
  },
  'fd that listens': (environment, folder) => {
    const { fd, remove } = listenUnix(join(folder, 'a'), 1, { type: SOCK_SEQPACKET });
    remove();
    return attachMessageDescriptor(takeInherited(fd), { offload: false }, environment);
  },
};

for (const [name, open] of Object.entries(OPENERS)) {
  test(`${name}: a link that the loop can't watch, or that finds no memory, leaves nothing behind`, async () => {
    const world = new World();
    MessageRegion.of(world.arena);
    world.loop.close();
    // Node frees its own watch on the loop in a turn of its own.
    await turn();
    const before = { open: descriptors(), free: world.free };
    for (let i = 0; i < 3; i++) assert.throws(() => open(world.environment, world.folder), { code: 'EBADF' });
    assert.deepEqual({ open: descriptors(), free: world.free }, before);
    assert.deepEqual(readdirSync(world.folder), []);
    assert.deepEqual(world.events, []);
    const full = new World();
    while (full.arena.allocate(4096) >= 0);
    const open2 = descriptors();
    assert.throws(() => open(full.environment, full.folder), { name: 'RangeError', message: /no room/ });
    assert.equal(descriptors(), open2);
    assert.deepEqual(readdirSync(full.folder), []);
    full.close();
    world.close();
  });
}

test('a VM that finds no memory is refused, and the others stay', async () => {
  const world = new World();
  const path = join(world.folder, 'bess.sock');
  const link = openBess({ path, name: 'uml' }, world.environment);
  let frames = 0;
  world.onFrame = () => void frames++;
  const first = MessageEnd.unix(SOCK_SEQPACKET, path);
  first.send(numbered(1, 60));
  await world.until(() => frames === 1, 'a frame');
  const taken: number[] = [];
  for (let at = world.arena.allocate(1 << 20); at >= 0; at = world.arena.allocate(1 << 20)) taken.push(at);
  const second = MessageEnd.unix(SOCK_SEQPACKET, path);
  await world.until(() => link.refused === 1, 'a refusal');
  await world.until(() => second.receive() === null && second.ended, 'the end of its connection');
  first.send(numbered(2, 60));
  await world.until(() => frames === 2, 'another frame');
  world.arena.free(taken.pop()!, 1 << 20);
  const third = MessageEnd.unix(SOCK_SEQPACKET, path);
  third.send(numbered(3, 60));
  await world.until(() => frames === 3, 'a frame of a third');
  assert.deepEqual(
    world.ports.map(({ name }) => name),
    ['uml', 'uml-2'],
    'who was refused has taken no name',
  );
  link.close();
  for (const end of [first, second, third]) end.close();
  world.close();
});
