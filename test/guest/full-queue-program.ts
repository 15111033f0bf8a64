/**
 * Endpoints over a device whose queue is full, until a line comes on standard input. Asserts.
 *
 * The kernel answers ENOBUFS to datagram sockets only, on TCP it is as rare as a kernel out of memory: a stream endpoint over
 * such a socket shows what it does about it.
 * Usage: full-queue-program.js ADDRESS
 */
import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { Spans, WRITABLE } from '../../src/host/endpoint.ts';
import { ErrorQueue } from '../../src/host/error-queue.ts';
import { KernelMemory } from '../../src/host/kernel-memory.ts';
import { KernelNetwork } from '../../src/host/kernel-network.ts';
import { KernelStream } from '../../src/host/kernel-stream.ts';
import { IpAddress } from '../../src/packet/address.ts';
import { Arena } from '../../src/runtime/arena.ts';
import { TurnLoop } from '../../src/runtime/turn-loop.ts';
import { AF_INET, SOCK_DGRAM, SOCK_NONBLOCK } from '../../src/system/constants.ts';
import { EAGAIN, ENOBUFS } from '../../src/system/errno.ts';
import { writeSockaddr } from '../../src/system/memory.ts';
import { connect, socket } from '../../src/system/syscalls.ts';

const peer = IpAddress.parse(process.argv[2]!)!;
const arena = new Arena(8 << 20);
const loop = new TurnLoop(arena);
const spans = new Spans();
spans.add(arena.allocate(64), 50);

const datagram = new KernelNetwork(loop, arena).openDatagram(peer, 9, 0, { onReady: () => {} });
assert.ok(typeof datagram === 'object');
assert.equal(datagram.send(spans), -ENOBUFS);

const memory = new KernelMemory(arena, true);
const fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
new ErrorQueue(memory).enable(fd, true);
const size = writeSockaddr(arena.bytes, memory.value, peer.w0, peer.w1, peer.w2, peer.w3, 9);
assert.equal(connect(fd, memory.base + memory.value, size), 0);
const written: number[] = [];
const stream: KernelStream = new KernelStream(fd, false, loop, memory, {
  onReady: (events) => {
    if ((events & WRITABLE) === 0 || written.length > 0) return;
    const result = stream.write(spans);
    if (result > 0) written.push(result);
    else assert.equal(result, -EAGAIN);
  },
});
await pause(200);
assert.deepEqual(written, []);
const tries = memory.counters.transfersPutOff;
assert.ok(tries >= 3 && tries <= 12, `${tries} tries in 200 ms`);
console.log('full');
await new Promise((resolve) => process.stdin.once('data', resolve));
process.stdin.pause();
for (let i = 0; i < 100 && written.length === 0; i++) await pause(5);
assert.deepEqual(written, [50], 'written once there was room');
assert.equal(datagram.send(spans), 1);
stream.close();
datagram.close();
loop.close();
