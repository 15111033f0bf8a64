/**
 * The host's endpoints in a process without descriptors left, and after it got some back. Run with a low `ulimit -n`; asserts,
 * and prints how much CPU a listener with a connection that can't be accepted took of half a second.
 * Usage: exhausted-program.js PORT, a TCP server's of the loopback.
 */
import assert from 'node:assert/strict';
import { closeSync, openSync } from 'node:fs';
import { createServer } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { type EndpointHandler, Spans, type StreamEndpoint } from '../../src/host/endpoint.ts';
import { KernelNetwork } from '../../src/host/kernel-network.ts';
import { receiveQemu } from '../../src/link/qemu.ts';
import { StreamListener } from '../../src/link/stream-listener.ts';
import { IpAddress } from '../../src/packet/address.ts';
import { Arena } from '../../src/runtime/arena.ts';
import { TurnLoop } from '../../src/runtime/turn-loop.ts';
import { EMFILE } from '../../src/system/errno.ts';

const LOOPBACK = IpAddress.parse('127.0.0.1')!;
const nobody: EndpointHandler = { onReady: () => {} };
const serverPort = Number(process.argv[2]);
const arena = new Arena(64 << 20);
const loop = new TurnLoop(arena);
const host = new KernelNetwork(loop, arena);
const at = arena.allocate(4096);
const accepted: StreamEndpoint[] = [];
const listener = host.listenStream(LOOPBACK, 0, (endpoint) => void accepted.push(endpoint));
const attached: unknown[] = [];
const receiver = {
  frame: () => {},
  endOfBatch: () => {},
  drained: () => {},
  attached: (port: unknown) => void attached.push(port),
  detached: () => {},
};
const events = { connected: () => {}, disconnected: () => {} };
const vms = await StreamListener.open('tcp://127.0.0.1:0', { loop, arena, receiver, events, nextId: () => 0 }, receiveQemu(false));
const [, vmPort] = /:(\d+)$/.exec(vms.address)!;
// Node wants descriptors of its own the first time it does this or that.
createServer().listen(0, '127.0.0.1').close();
await pause(10);

const kept: number[] = [];
for (;;) {
  try {
    kept.push(openSync('/dev/null', 'r'));
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, 'EMFILE');
    break;
  }
}
assert.equal(host.connectStream(LOOPBACK, serverPort, nobody), -EMFILE);
assert.equal(host.openDatagram(LOOPBACK, serverPort, 0, nobody), -EMFILE);
assert.equal(host.openPing(LOOPBACK, nobody), -EMFILE);
console.log(`${listener.port} ${vmPort}`);
// The parent has connected to both.
await new Promise((resolve) => process.stdin.once('data', resolve));
process.stdin.pause();
const before = process.cpuUsage();
await pause(500);
const { user, system } = process.cpuUsage(before);
assert.deepEqual([accepted.length, attached.length], [0, 0]);
const { acceptsPutOff } = host.counters;
assert.ok(acceptsPutOff >= 3 && acceptsPutOff <= 12, `${acceptsPutOff} tries`);
assert.ok(vms.acceptsPutOff >= 3 && vms.acceptsPutOff <= 12, `${vms.acceptsPutOff} tries`);

for (const fd of kept.splice(0)) closeSync(fd);
for (let i = 0; i < 200 && (accepted.length < 5 || attached.length < 1); i++) await pause(5);
assert.deepEqual([accepted.length, attached.length], [5, 1], 'what waited in the queues is accepted');
const stream = host.connectStream(LOOPBACK, serverPort, nobody);
assert.ok(typeof stream === 'object');
for (let i = 0; i < 200 && stream.connectStatus() !== 0; i++) await pause(5);
const spans = new Spans();
spans.add(at, 5);
arena.bytes.set(Buffer.from('hello'), at);
assert.equal(stream.write(spans), 5);
const datagram = host.openDatagram(LOOPBACK, serverPort, 0, nobody);
assert.ok(typeof datagram === 'object');
stream.close();
datagram.close();
for (const endpoint of accepted) endpoint.close();
listener.close();
vms.close();
loop.close();
console.log(`cpu ${((user + system) / 5000).toFixed(1)} %`);
