import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { setImmediate as nodeTurn } from 'node:timers/promises';
import { test } from 'node:test';
import { KernelNetwork } from '../src/host/kernel-network.ts';
import { VirtualNetwork } from '../src/network.ts';
import { IpAddress, parseIpv4 } from '../src/packet/address.ts';
import * as ethernet from '../src/packet/ethernet.ts';
import * as ipv4 from '../src/packet/ipv4.ts';
import { type Mac, parseMac } from '../src/packet/mac.ts';
import * as udp from '../src/packet/udp.ts';
import { Arena } from '../src/runtime/arena.ts';
import { TurnLoop } from '../src/runtime/turn-loop.ts';
import { EACCES } from '../src/system/errno.ts';

const IGMP = 2;
const GUEST = parseMac('5a:94:ef:e4:0c:01')!;

function frame(to: Mac, destination: string, port: number, protocol: number = ipv4.PROTOCOL_UDP): Buffer {
  const bytes = Buffer.alloc(ethernet.HEADER + ipv4.HEADER + udp.HEADER + 20);
  ethernet.write(bytes, 0, to.hi, to.lo, GUEST.hi, GUEST.lo, ethernet.TYPE_IPV4);
  ipv4.write(bytes, 14, bytes.length - 14, 1, 0, 1, protocol, parseIpv4('192.168.127.9')!, parseIpv4(destination)!);
  udp.write(bytes, 34, 5353, port, udp.HEADER + 20);
  return bytes;
}

/** RFC 1112 §6.4. */
function groupMac(address: string): Mac {
  const word = parseIpv4(address)!;
  return { hi: 0x0100, lo: 0x5e000000 | (word & 0x7fffff) };
}

test('broadcasts and multicasts of a VM reach the other VMs, and neither the host nor an answer', async () => {
  const network = await VirtualNetwork.create();
  try {
    const [mine, others]: [Buffer[], Buffer[]] = [[], []];
    const first = network.attachMemory('first', (bytes, at, length) => void mine.push(Buffer.from(bytes.subarray(at, at + length))));
    network.attachMemory('second', (bytes, at, length) => void others.push(Buffer.from(bytes.subarray(at, at + length))));
    const broadcast = { hi: 0xffff, lo: -1 };
    const sent = [
      frame(broadcast, '255.255.255.255', 137),
      frame(broadcast, '192.168.127.255', 138),
      frame(groupMac('224.0.0.251'), '224.0.0.251', 5353),
      frame(groupMac('239.255.255.250'), '239.255.255.250', 1900),
      frame(groupMac('224.0.0.22'), '224.0.0.22', 0, IGMP),
    ];
    const before = readdirSync('/proc/self/fd').length;
    for (const bytes of sent) first.send(bytes);
    for (let i = 0; i < 5; i++) await nodeTurn();
    assert.deepEqual(others, sent);
    assert.deepEqual(mine, []);
    assert.equal(readdirSync('/proc/self/fd').length, before, 'no socket was opened');
    // To the gateway's own MAC, as a guest that takes it for its router might: it goes nowhere.
    const gateway = parseMac('5a:94:ef:e4:0c:dd')!;
    for (const to of ['255.255.255.255', '192.168.127.255', '224.0.0.251', '240.0.0.1']) first.send(frame(gateway, to, 1900));
    for (let i = 0; i < 5; i++) await nodeTurn();
    assert.deepEqual([mine, others.length], [[], sent.length]);
    assert.equal(readdirSync('/proc/self/fd').length, before);
  } finally {
    await network.close();
  }
});

test("the host refuses datagrams to its networks' broadcast addresses", () => {
  const loop = new TurnLoop(new Arena(4 << 20));
  try {
    const host = new KernelNetwork(loop, new Arena(4 << 20));
    assert.equal(host.openDatagram(IpAddress.parse('127.255.255.255')!, 9, 0, { onReady: () => {} }), -EACCES);
  } finally {
    loop.close();
  }
});
