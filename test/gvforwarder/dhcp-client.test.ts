/** The client against a server made by hand, on a clock made by hand. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatIpv4, parseIpv4 } from '../../src/packet/address.ts';
import { finish, pseudoIpv4, sum } from '../../src/packet/checksum.ts';
import { ACK, BOOT_REPLY, type DhcpMessage, DISCOVER, NAK, OFFER, readDhcp, REQUEST, writeDhcp } from '../../src/packet/dhcpv4.ts';
import { type DhcpLease, messageType, wordOption } from '../../src/packet/dhcpv4-client.ts';
import * as ethernet from '../../src/packet/ethernet.ts';
import * as ipv4 from '../../src/packet/ipv4.ts';
import { formatMac, parseMac } from '../../src/packet/mac.ts';
import * as udp from '../../src/packet/udp.ts';
import { TimerWheel } from '../../src/runtime/timer-wheel.ts';
import { DhcpClient } from '../../src/guest/dhcp-client.ts';

const MAC = parseMac('5a:94:ef:e4:0c:ee')!;
const SERVER_MAC = parseMac('5a:94:ef:e4:0c:dd')!;
const SERVER = parseIpv4('192.168.127.1')!;
const ADDRESS = parseIpv4('192.168.127.2')!;
const UDP = ethernet.HEADER + ipv4.HEADER;
const PAYLOAD = UDP + udp.HEADER;

/** A frame of the client, taken apart; checksums have been looked at. */
interface Sent {
  readonly at: number;
  readonly to: string;
  readonly from: string;
  readonly destination: string;
  readonly message: DhcpMessage;
}

class World {
  readonly timers: TimerWheel = new TimerWheel(0);
  readonly sent: Sent[] = [];
  readonly bound: DhcpLease[] = [];
  readonly lost: string[] = [];
  silent = 0;
  readonly client: DhcpClient;
  #now = 0;
  #random = 0x1000;

  constructor() {
    this.client = new DhcpClient({
      mac: MAC,
      timers: this.timers,
      random: () => this.#random++,
      send: (frame) => void this.sent.push(this.#takeApart(frame)),
      bound: (lease) => void this.bound.push(lease),
      lost: (reason) => void this.lost.push(reason),
      silent: () => void this.silent++,
    });
  }

  #takeApart(frame: Uint8Array): Sent {
    assert.equal(finish(sum(frame, ethernet.HEADER, ipv4.HEADER)), 0);
    const [from, to] = [ipv4.source(frame, ethernet.HEADER), ipv4.destination(frame, ethernet.HEADER)];
    const length = udp.length(frame, UDP);
    assert.equal(UDP + length, frame.length);
    assert.equal(finish(sum(frame, UDP, length, pseudoIpv4(from, to, ipv4.PROTOCOL_UDP, length))), 0);
    assert.deepEqual([udp.sourcePort(frame, UDP), udp.destinationPort(frame, UDP)], [68, 67]);
    const mac = formatMac(ethernet.macHi(frame, 0, ethernet.DESTINATION), ethernet.macLo(frame, 0, ethernet.DESTINATION));
    return { at: this.#now, to: mac, from: formatIpv4(from), destination: formatIpv4(to), message: readDhcp(frame.subarray(PAYLOAD))! };
  }

  get last(): Sent {
    return this.sent.at(-1)!;
  }

  /** Types of what was sent, with the seconds. */
  get history(): string[] {
    return this.sent.map(
      ({ at, message }) => `${Math.round(at / 1000)} ${{ [DISCOVER]: 'DISCOVER', [REQUEST]: 'REQUEST' }[messageType(message)]}`,
    );
  }

  /** In steps, as a loop does. */
  pass(seconds: number): void {
    const end = this.#now + seconds * 1000;
    while (this.#now < end) {
      this.#now = Math.min(end, this.#now + Math.max(4, Math.min(this.timers.untilNext(), end - this.#now)));
      this.timers.advance(this.#now);
    }
  }

  /** An answer as the server sends it to everybody; `change` spoils it. */
  answer(type: number, options: readonly [number, Uint8Array][] = [], change: (frame: Uint8Array) => void = () => {}): boolean {
    const { message } = this.last;
    const payload = writeDhcp({
      ...message,
      op: BOOT_REPLY,
      yourAddress: type === NAK ? 0 : ADDRESS,
      options: new Map([
        [53, Uint8Array.of(type)],
        [1, wordOption(parseIpv4('255.255.255.0')!)],
        [51, wordOption(3600)],
        [54, wordOption(SERVER)],
        ...options,
      ]),
    });
    const frame = new Uint8Array(PAYLOAD + payload.length);
    ethernet.write(frame, 0, 0xffff, -1, SERVER_MAC.hi, SERVER_MAC.lo, ethernet.TYPE_IPV4);
    ipv4.write(frame, ethernet.HEADER, ipv4.HEADER + udp.HEADER + payload.length, 0, 0, 64, ipv4.PROTOCOL_UDP, SERVER, -1);
    udp.write(frame, UDP, 67, 68, udp.HEADER + payload.length);
    frame.set(payload, PAYLOAD);
    change(frame);
    const shifted = new Uint8Array(frame.length + 100);
    shifted.set(frame, 50);
    return this.client.take(shifted, 50, frame.length);
  }
}

function boundWorld(): World {
  const world = new World();
  assert.ok(world.answer(OFFER));
  assert.ok(world.answer(ACK));
  assert.equal(world.bound.length, 1);
  return world;
}

test('asks, takes the offer, and has the lease; all by broadcast', () => {
  const world = new World();
  assert.deepEqual(world.history, ['0 DISCOVER']);
  assert.ok(world.answer(OFFER));
  const { to, from, destination, message } = world.last;
  assert.deepEqual([to, from, destination, message.clientAddress], ['ff:ff:ff:ff:ff:ff', '0.0.0.0', '255.255.255.255', 0]);
  assert.deepEqual([message.options.get(50), message.options.get(54)], [wordOption(ADDRESS), wordOption(SERVER)]);
  assert.equal(world.bound.length, 0);
  assert.ok(world.answer(ACK));
  assert.deepEqual([world.bound[0]!.address, world.bound[0]!.time], [ADDRESS, 3600]);
  assert.deepEqual(world.history, ['0 DISCOVER', '0 REQUEST']);
});

test('without an answer it asks again after twice the time, at most 16 seconds, and complains once', () => {
  const world = new World();
  world.pass(70);
  assert.deepEqual(
    world.sent.map(({ at }) => Math.round(at / 1000)),
    [0, 1, 3, 7, 15, 31, 47, 63],
  );
  assert.equal(world.silent, 1);
  assert.ok(world.answer(OFFER));
  assert.ok(world.answer(ACK));
  assert.equal(world.bound.length, 1);
});

test('an offer that is not kept is asked for four times, then another is looked for', () => {
  const world = new World();
  assert.ok(world.answer(OFFER));
  const first = world.last.message.xid;
  world.pass(20);
  assert.deepEqual(world.history.slice(0, 6), ['0 DISCOVER', '0 REQUEST', '1 REQUEST', '3 REQUEST', '7 REQUEST', '15 DISCOVER']);
  assert.notEqual(world.last.message.xid, first);
});

test('renews half-way with the server alone, and tells of it', () => {
  const world = boundWorld();
  world.pass(1799);
  assert.equal(world.sent.length, 2);
  world.pass(2);
  const { to, from, destination, message } = world.last;
  assert.equal(world.sent.length, 3);
  assert.deepEqual([to, from, destination], ['5a:94:ef:e4:0c:dd', '192.168.127.2', '192.168.127.1']);
  assert.deepEqual([message.clientAddress, message.options.has(50), message.options.has(54)], [ADDRESS, false, false]);
  assert.ok(world.answer(ACK));
  assert.deepEqual([world.bound.length, world.lost], [2, []]);
  world.pass(1799);
  assert.equal(world.sent.length, 3);
  world.pass(2);
  assert.equal(world.sent.length, 4, 'the second lease counts from the second request');
});

test('asks everybody when the server is silent, gives the address up at the end, and asks for it again', () => {
  const world = boundWorld();
  world.pass(3599);
  const renewals = world.sent.slice(2).filter(({ destination }) => destination === '192.168.127.1');
  const rebindings = world.sent.slice(2).filter(({ destination }) => destination === '255.255.255.255');
  assert.ok(renewals.length >= 3 && renewals.length <= 10, `${renewals.length} renewals`);
  assert.ok(rebindings.length >= 2 && rebindings.length <= 6, `${rebindings.length} rebindings`);
  assert.ok(renewals.every(({ at }) => at >= 1_800_000 && at < 3_150_000));
  assert.ok(rebindings.every(({ at, from }) => at >= 3_150_000 && from === '192.168.127.2'));
  assert.deepEqual(world.lost, []);
  world.pass(2);
  assert.deepEqual(world.lost, ['the DHCP lease has run out']);
  assert.deepEqual([messageType(world.last.message), world.last.message.options.get(50)], [DISCOVER, wordOption(ADDRESS)]);
});

test('gives the address up when the server says no', () => {
  const world = boundWorld();
  world.pass(1801);
  assert.ok(world.answer(NAK));
  assert.deepEqual(world.lost, ['the DHCP server has taken the address back']);
  assert.equal(messageType(world.last.message), DISCOVER);
  const other = new World();
  other.answer(OFFER);
  assert.ok(other.answer(NAK));
  assert.deepEqual([other.lost, other.sent.length], [[], 2], 'nothing was lost that was not had, and nothing is asked at once');
  other.pass(1.1);
  assert.deepEqual(other.history.slice(2), ['1 DISCOVER']);
});

test('a lease without an end is never renewed, and one that has ended at once is asked for once a second', () => {
  const world = new World();
  world.answer(OFFER);
  world.answer(ACK, [[51, wordOption(-1)]]);
  world.pass(100_000);
  assert.equal(world.sent.length, 2);
  const hasty = new World();
  for (let i = 0; i < 10; i++) {
    hasty.answer(OFFER);
    hasty.answer(ACK, [[51, wordOption(0)]]);
    hasty.pass(1.1);
  }
  assert.ok(hasty.sent.length <= 24, hasty.history.join());
});

test('takes nothing that is not meant for it, whatever is cut off or spoiled', () => {
  const spoil: [string, (frame: Uint8Array) => void][] = [
    ['IPv6', (frame) => void (frame[12] = 0x86)],
    ['TCP', (frame) => void (frame[23] = 6)],
    ['a fragment', (frame) => void (frame[21] = 1)],
    ['more fragments', (frame) => void (frame[20] = 0x20)],
    ['another port', (frame) => void (frame[UDP + 3] = 69)],
    ['a request', (frame) => void (frame[PAYLOAD] = 1)],
    ['another transaction', (frame) => void (frame[PAYLOAD + 7]! ^= 1)],
    ['no cookie', (frame) => void (frame[PAYLOAD + 236] = 0)],
    ['a header that is too long', (frame) => void (frame[14] = 0x4f)],
    ['a length below its header', (frame) => frame.set([0, 10], 16)],
    ['a datagram shorter than a message', (frame) => frame.set([0, 200], UDP + 4)],
  ];
  for (const [what, change] of spoil) {
    const world = new World();
    assert.equal(world.answer(OFFER, [], change), false, what);
    assert.equal(world.sent.length, 1, what);
  }
  const world = new World();
  assert.equal(world.answer(OFFER, [[43, new Uint8Array(1300)]]), false, 'longer than a packet: minutes could be spent on what it says');
  for (let length = 0; length < PAYLOAD + 240; length++) assert.equal(world.client.take(new Uint8Array(400).fill(0x45), 0, length), false);
  assert.ok(world.answer(ACK), 'its transaction, but not its turn: taken, and nothing happens');
  assert.equal(world.bound.length, 0);
});

test('closed it neither asks nor takes', () => {
  const world = new World();
  world.client.close();
  world.pass(100);
  assert.equal(world.sent.length, 1);
  assert.equal(world.answer(OFFER), false);
});
