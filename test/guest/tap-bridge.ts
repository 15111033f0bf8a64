/**
 * Carries frames between a TAP device of the current namespace and a gvproxy's unix socket, with QEMU's framing.
 * Usage: tap-bridge.js DEVICE SOCKET MAC. Prints `ready`.
 */
import { closeSync, constants, openSync } from 'node:fs';
import { connect } from 'node:net';
import koffi from 'koffi';
import { Arena } from '../../src/runtime/arena.ts';
import { addressOf, pollReadable, read, write } from '../../src/system/syscalls.ts';

const TUNSETIFF = 0x400454ca;
const IFF_TAP = 2;
const IFF_NO_PI = 0x1000;
const FRAME_LIMIT = 70_000;
/** Bytes that wait for the gateway before the device is read no further. */
const BACKLOG = 4 << 20;

const [device, socketPath] = process.argv.slice(2) as [string, string];
const arena = new Arena(1 << 20);
const buffer = arena.allocate(FRAME_LIMIT);
const address = addressOf(arena.memory.buffer) + buffer;

const tun = openSync('/dev/net/tun', constants.O_RDWR | constants.O_NONBLOCK);
const request = Buffer.alloc(40);
request.write(device);
request.writeUInt16LE(IFF_TAP | IFF_NO_PI, 16);
const ioctl = koffi.load(null).func('int ioctl(int, unsigned long, void *)') as (fd: number, request: number, argument: Buffer) => number;
if (ioctl(tun, TUNSETIFF, request) < 0) throw new Error(`TUNSETIFF: errno ${koffi.errno()}`);

const socket = connect(socketPath);
socket.on('error', () => process.exit(1));
socket.on('close', () => process.exit(0));

function fromDevice(): void {
  socket.cork();
  for (let i = 0; i < 64 && socket.writableLength < BACKLOG; i++) {
    const length = read(tun, address, FRAME_LIMIT);
    if (length <= 0) break;
    const framed = Buffer.alloc(4 + length);
    framed.writeUInt32BE(length);
    framed.set(arena.bytes.subarray(buffer, buffer + length), 4);
    socket.write(framed);
  }
  socket.uncork();
}

let pending = Buffer.alloc(0);
socket.on('data', (chunk) => {
  pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
  let at = 0;
  while (pending.length - at >= 4 && pending.length - at - 4 >= pending.readUInt32BE(at)) {
    const length = pending.readUInt32BE(at);
    arena.bytes.set(pending.subarray(at + 4, at + 4 + length), buffer);
    write(tun, address, length);
    at += 4 + length;
  }
  pending = pending.subarray(at);
});

const handle = pollReadable(tun, fromDevice);
process.on('exit', () => {
  handle.close();
  closeSync(tun);
});
console.log('ready');
