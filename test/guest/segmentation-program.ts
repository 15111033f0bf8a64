/**
 * Lets this machine's kernel and the switch cut the same super frames, and compares byte by byte. The devices are there already, bridged.
 *
 *     super frame ─► TAP with virtio-net header ─► bridge ─► TAP without ─► segments
 */
import assert from 'node:assert/strict';
import { constants, openSync, readSync, writeSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import fc from 'fast-check';
import koffi from 'koffi';
import { parseMac } from '../../src/packet/mac.ts';
import { VNET_HEADER } from '../../src/packet/vnet-header.ts';
import { Arena } from '../../src/runtime/arena.ts';
import { arenaSum } from '../../src/runtime/arena-checksum.ts';
import { Switch } from '../../src/switch/switch.ts';
import { FakePort } from '../fake-port.ts';
import { headerOf, packets, SOURCE } from '../switch/arbitrary-packets.ts';
import { frameOf, type Packet } from '../switch/packets.ts';

const TUNSETIFF = 0x400454ca;
const TUNSETVNETHDRSZ = 0x400454d8;
const IFF_TAP = 2;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;
const RUNS = 400;
/** Linux: UDP_MAX_SEGMENTS. */
const UDP_SEGMENTS = 128;

const ioctl = koffi.load(null).func('int ioctl(int, unsigned long, void *)') as (fd: number, request: number, argument: Buffer) => number;

function openTap(name: string, flags: number): number {
  const fd = openSync('/dev/net/tun', constants.O_RDWR | constants.O_NONBLOCK);
  const request = Buffer.alloc(40);
  request.write(name);
  request.writeUInt16LE(IFF_TAP | IFF_NO_PI | flags, 16);
  if (ioctl(fd, TUNSETIFF, request) < 0) throw new Error(`TUNSETIFF: errno ${koffi.errno()}`);
  const size = Buffer.alloc(4);
  size.writeInt32LE(VNET_HEADER);
  if (flags !== 0 && ioctl(fd, TUNSETVNETHDRSZ, size) < 0) throw new Error(`TUNSETVNETHDRSZ: errno ${koffi.errno()}`);
  return fd;
}

function isTryAgain(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'EAGAIN';
}

/** The frames of ours that the device has, at least `count` if that many come within a second. */
async function read(fd: number, count: number): Promise<Buffer[]> {
  const frames: Buffer[] = [];
  const buffer = Buffer.alloc(70_000);
  for (let tries = 0; tries < 200;) {
    try {
      const length = readSync(fd, buffer);
      if (buffer.toString('hex', 6, 12) === SOURCE) frames.push(Buffer.from(buffer.subarray(0, length)));
    } catch (error) {
      if (!isTryAgain(error)) throw error;
      if (frames.length >= count) return frames;
      tries++;
      await setTimeout(5);
    }
  }
  return frames;
}

/** What the switch gives a VM without offload. */
class Ours {
  readonly #arena: Arena = new Arena(16 << 20);
  readonly #from: FakePort = new FakePort(this.#arena, 0, { offload: true, largestFrame: 65_549 });
  readonly #to: FakePort = new FakePort(this.#arena, 1);
  readonly #switch: Switch;
  readonly #at: number = this.#arena.allocate(1 << 18) + 64;

  constructor() {
    const gateway = { input: (): void => {}, endOfBatch: (): void => {}, drained: (): void => {}, detached: (): void => {} };
    const { bytes } = this.#arena;
    this.#switch = new Switch({ bytes, sum: arenaSum(this.#arena), gatewayMac: parseMac('5a:94:ef:e4:0c:dd')!, gateway, now: () => 0 });
    for (const port of [this.#from, this.#to]) this.#switch.attached(port);
    this.#switch.macs.learn(0x0200, 2, this.#to, 0);
  }

  cut(frame: Buffer, header: Buffer): Buffer[] {
    this.#arena.bytes.set(header, this.#at - VNET_HEADER);
    this.#arena.bytes.set(frame, this.#at);
    this.#switch.frame(this.#from, this.#at, frame.length);
    return this.#to.take();
  }
}

async function compare(packet: Packet, size: number): Promise<number> {
  const frame = frameOf(packet, true);
  const header = headerOf(packet, size);
  const expected = ours.cut(frame, header);
  writeSync(from, Buffer.concat([header, frame]));
  const got = await read(to, expected.length);
  assert.deepEqual(got, expected);
  return got.length;
}

const from = openTap('from0', IFF_VNET_HDR);
const to = openTap('to0', 0);
const ours = new Ours();
let segments = 0;
const cases = fc.sample(fc.tuple(packets, fc.integer({ min: 100, max: 8000 })), { numRuns: RUNS, seed: 20_261_121 });
for (const [packet, size] of cases) {
  // The kernel takes a single segment for no super frame, and no more datagrams than these at once.
  if (packet.data.length <= size || (packet.isUdp && packet.data.length > size * UDP_SEGMENTS)) continue;
  // Tags are for the switch alone.
  segments += await compare({ ...packet, ethernet: packet.ethernet.subarray(0, 12) }, size);
}
console.log(`${segments} segments are the same`);
