import assert from 'node:assert/strict';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { attachMessageDescriptor } from '../../src/link/message-descriptor.ts';
import { SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM } from '../../src/system/constants.ts';
import { takeInherited } from '../../src/system/inherited.ts';
import { close } from '../../src/system/syscalls.ts';
import { bindUnix, listenUnix } from '../../src/system/unix-listener.ts';
import { socketpair } from '../system/descriptors.ts';
import { MessageEnd } from './vm-ends.ts';
import { descriptors, numbered, numberOf, World } from './world.ts';

let world: World;
let heard: number[];

beforeEach(() => {
  world = new World();
  heard = [];
  world.onFrame = (_, frame) => void heard.push(numberOf(frame));
});

afterEach(() => world.close());

test('a listening SOCK_SEQPACKET takes VMs as bess does, and its number is free again when it is closed', async () => {
  const path = join(world.folder, 'bess.sock');
  for (let round = 0; round < 2; round++) {
    const { fd, remove } = listenUnix(path, 8, { type: SOCK_SEQPACKET });
    const link = attachMessageDescriptor(takeInherited(fd), { offload: false, name: 'vm' }, world.environment);
    assert.equal(link.address, `fd:${fd}`);
    const vms = [1, 2].map(() => MessageEnd.unix(SOCK_SEQPACKET, path));
    for (const [i, vm] of vms.entries()) vm.send(numbered(i, 60));
    await world.until(() => heard.length === 2, 'two frames');
    assert.deepEqual(
      world.ports.map(({ name }) => name),
      ['vm', 'vm-2'],
    );
    heard = [];
    link.close();
    for (const vm of vms) vm.close();
    remove();
  }
});

test('a connection ends with its other end: a SOCK_SEQPACKET at once, with the last frame, a SOCK_DGRAM when it is sent to', async () => {
  for (const type of [SOCK_SEQPACKET, SOCK_DGRAM]) {
    const [ours, theirs] = socketpair(type);
    attachMessageDescriptor(takeInherited(ours), { offload: false, largestFrame: 65_549 }, world.environment);
    const port = world.ports[0]!;
    assert.deepEqual([port.name, port.largestFrame], [`fd:${ours}`, 65_549]);
    const vm = new MessageEnd(theirs);
    // What it hasn't read makes its end an error, which comes before its last frames.
    world.send(port, numbered(1, 60));
    await world.settle();
    for (let i = 0; i < 5; i++) vm.send(numbered(i, 60));
    vm.close();
    if (type === SOCK_DGRAM) world.send(port, numbered(2, 60));
    await world.until(() => world.events.includes('closed'), 'the end');
    assert.deepEqual(heard, [0, 1, 2, 3, 4]);
    const why = type === SOCK_DGRAM ? 'cannot write packet to socket: connection refused' : 'cannot read size from socket: EOF';
    assert.deepEqual(world.events.slice(1), [`disconnected ${port.id}: ${why}`, 'closed']);
    world.events.length = 0;
    heard = [];
  }
});

test('what is neither is refused with what is wanted, and closed', () => {
  const before = descriptors();
  const attempt = (fd: number) => (): unknown => attachMessageDescriptor(takeInherited(fd), { offload: false }, world.environment);
  const [stream, other] = socketpair(SOCK_STREAM);
  assert.throws(attempt(stream), { code: 'EINVAL', message: /SOCK_SEQPACKET or SOCK_DGRAM/ });
  close(other);
  const bound = bindUnix(join(world.folder, 'bound'), { type: SOCK_DGRAM });
  assert.throws(attempt(bound.fd), { code: 'EINVAL', message: new RegExp(`fd:${bound.fd}.*one end of a pair`) });
  assert.equal(descriptors(), before);
});
