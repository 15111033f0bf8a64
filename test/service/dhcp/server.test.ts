import { Arena } from '../../../src/runtime/arena.ts';
import { FakePort } from '../../fake-port.ts';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { DatagramService, ServiceHost } from '../../../src/flow/listener.ts';
import { IpAddress, formatIpv4, parseIpv4 } from '../../../src/packet/address.ts';
import * as dhcp from '../../../src/packet/dhcpv4.ts';
import { LeasePool } from '../../../src/service/dhcp/lease-pool.ts';
import { encodeSearchList } from '../../../src/service/dhcp/search-list.ts';
import { DhcpServer, MESSAGE_LIMIT } from '../../../src/service/dhcp/server.ts';

const ARENA = new Arena(4 << 20);
const VM = new FakePort(ARENA, 0);
const OTHER = new FakePort(ARENA, 1);
const GATEWAY = parseIpv4('192.168.127.1')!;
const DEVICE = '5a94efe40cee';
const STRANGER = '020000000001';

function server(options: { searchDomains?: readonly string[]; prefix?: number } = {}): { server: DhcpServer; pool: LeasePool } {
  const mask = -1 << (32 - (options.prefix ?? 24));
  const pool = new LeasePool({
    subnet: parseIpv4('192.168.127.0')!,
    mask,
    reserved: ['192.168.127.1', '192.168.127.2', '192.168.127.254'].map((text) => parseIpv4(text)!),
    statics: new Map([[parseIpv4('192.168.127.2')!, '5a:94:ef:e4:0c:ee']]),
    now: () => 0,
  });
  return { server: new DhcpServer({ pool, gateway: GATEWAY, mask, mtu: 1500, searchDomains: options.searchDomains ?? [] }), pool };
}

function request(type: number | null, mac: string, change: Partial<dhcp.DhcpMessage> = {}): Uint8Array {
  const hardwareAddress = new Uint8Array(16);
  hardwareAddress.set(Buffer.from(mac, 'hex'));
  const message: dhcp.DhcpMessage = {
    op: dhcp.BOOT_REQUEST,
    hardwareType: 1,
    hardwareLength: 6,
    xid: 0x12345678,
    flags: 0x8000,
    clientAddress: 0,
    yourAddress: 0,
    serverAddress: 0,
    relayAddress: 0,
    hardwareAddress,
    options: new Map(),
    ...change,
  };
  const options = new Map([...(type === null ? [] : [[dhcp.OPTION_MESSAGE_TYPE, Uint8Array.of(type)] as const]), ...message.options]);
  return dhcp.writeDhcp({ ...message, options });
}

function yours(reply: Uint8Array | undefined): string | undefined {
  return reply && formatIpv4(dhcp.readDhcp(reply)!.yourAddress);
}

test("offers with the contract's bytes", () => {
  const reply = server().server.answer(request(dhcp.DISCOVER, DEVICE), VM)!;
  const expected = Buffer.alloc(300);
  expected.set([2, 1, 6, 0, 0x12, 0x34, 0x56, 0x78, 0, 0, 0x80, 0, 0, 0, 0, 0, 192, 168, 127, 2]);
  expected.set(Buffer.from(DEVICE, 'hex'), 28);
  const options = '01 04 FF FF FF 00 03 04 C0 A8 7F 01 06 04 C0 A8 7F 01 1A 02 05 DC 33 04 00 00 0E 10 35 01 02 36 04 C0 A8 7F 01 77 00 FF';
  expected.set(Buffer.from(`63825363${options.replaceAll(' ', '')}`, 'hex'), 236);
  assert.equal(Buffer.from(reply).toString('hex'), expected.toString('hex'));
});

test('acknowledges what it offered, and the same address ever after', () => {
  const { server: service, pool } = server();
  assert.equal(yours(service.answer(request(dhcp.DISCOVER, STRANGER), VM)), '192.168.127.3');
  const ack = dhcp.readDhcp(service.answer(request(dhcp.REQUEST, STRANGER), VM)!)!;
  assert.equal(ack.options.get(dhcp.OPTION_MESSAGE_TYPE)![0], dhcp.ACK);
  assert.equal(formatIpv4(ack.yourAddress), '192.168.127.3');
  assert.equal(pool.list().get('192.168.127.3'), '02:00:00:00:00:01');
  assert.equal(service.answer(request(dhcp.RELEASE, STRANGER), VM), undefined);
  assert.equal(yours(service.answer(request(dhcp.DISCOVER, '020000000002'), VM)), '192.168.127.4');
  assert.equal(yours(service.answer(request(dhcp.REQUEST, STRANGER), VM)), '192.168.127.3');
  assert.deepEqual(Object.assign({}, service.counters), { offers: 2, acks: 2, releases: 1, unhandled: 0, malformed: 0, exhausted: 0 });
});

test('never refuses: a wish for another address or another server gets its own address', () => {
  const wish = new Map([
    [dhcp.OPTION_REQUESTED_ADDRESS, Uint8Array.of(10, 0, 0, 7)],
    [dhcp.OPTION_SERVER_ID, Uint8Array.of(10, 0, 0, 1)],
  ]);
  const reply = dhcp.readDhcp(server().server.answer(request(dhcp.REQUEST, DEVICE, { options: wish, clientAddress: 0x0a000007 }), VM)!)!;
  assert.equal(reply.options.get(dhcp.OPTION_MESSAGE_TYPE)![0], dhcp.ACK);
  assert.equal(formatIpv4(reply.yourAddress), '192.168.127.2');
  assert.equal(reply.clientAddress, 0);
});

test('copies client id and relay information, the latter last, and the relay address', () => {
  const options = new Map([
    [dhcp.OPTION_RELAY_AGENT, Uint8Array.of(1, 1, 9)],
    [dhcp.OPTION_CLIENT_ID, Uint8Array.of(1, 2, 3)],
  ]);
  const reply = dhcp.readDhcp(server().server.answer(request(dhcp.DISCOVER, STRANGER, { options, relayAddress: 0x0a000002 }), VM)!)!;
  assert.deepEqual([...reply.options.keys()], [1, 3, 6, 26, 51, 53, 54, 61, 119, 82]);
  assert.deepEqual(reply.options.get(61), Uint8Array.of(1, 2, 3));
  assert.deepEqual(reply.options.get(82), Uint8Array.of(1, 1, 9));
  assert.equal(reply.relayAddress, 0x0a000002);
});

test('does not send a client id back that fits no single option', () => {
  const options = new Map([[dhcp.OPTION_CLIENT_ID, new Uint8Array(1000)]]);
  assert.equal(server().server.answer(request(dhcp.DISCOVER, STRANGER, { options }), VM)!.length, 300);
});

test('does not read a message of 64 KiB of options', () => {
  const { server: service } = server();
  const message = request(dhcp.DISCOVER, STRANGER);
  const options = Buffer.alloc(65_000);
  for (let i = 0; i < options.length; i += 2) options[i] = 1 + ((i / 2) % 254);
  assert.equal(service.answer(Buffer.concat([message.subarray(0, 243), options]), VM), undefined);
  assert.equal(service.counters.malformed, 1);
  const long = new Uint8Array(MESSAGE_LIMIT);
  long.set(message);
  assert.notEqual(service.answer(long, VM), undefined);
});

test('does not tell guests apart by client id', () => {
  const { server: service } = server();
  const options = new Map([[dhcp.OPTION_CLIENT_ID, Uint8Array.of(1)]]);
  assert.equal(yours(service.answer(request(dhcp.REQUEST, STRANGER, { options }), VM)), '192.168.127.3');
  assert.equal(yours(service.answer(request(dhcp.REQUEST, '020000000002', { options }), VM)), '192.168.127.4');
});

test('sends the search list uncompressed, each domain ended by a zero', () => {
  const reply = dhcp.readDhcp(
    server({ searchDomains: ['example.com', 'corp.example.com'] }).server.answer(request(dhcp.DISCOVER, DEVICE), VM)!,
  )!;
  assert.equal(Buffer.from(reply.options.get(119)!).toString('latin1'), '\x07example\x03com\0\x04corp\x07example\x03com\0');
});

test('splits a search list over 255 bytes', () => {
  const searchDomains = Array.from({ length: 30 }, (_, i) => `domain-${i}.example.com`);
  const reply = server({ searchDomains }).server.answer(request(dhcp.DISCOVER, DEVICE), VM)!;
  const at = Buffer.from(reply).indexOf(Uint8Array.of(119, 255), 240);
  assert.ok(at > 0);
  assert.equal(reply[at + 257], 119);
  assert.deepEqual(Buffer.from(dhcp.readDhcp(reply)!.options.get(119)!), Buffer.from(encodeSearchList(searchDomains)));
});

test('leaves domains out of the search list that are none', () => {
  assert.equal(encodeSearchList(['', '.', 'a..b', 'x'.repeat(64), Array(64).fill('abc').join('.')]).length, 0);
  assert.equal(Buffer.from(encodeSearchList(['a.'])).toString('latin1'), '\x01a\0');
});

test('answers INFORM with the configuration, without an address, a lease time or a lease', () => {
  const { server: service, pool } = server();
  const reply = dhcp.readDhcp(service.answer(request(dhcp.INFORM, STRANGER, { clientAddress: 0x7f000009 }), VM)!)!;
  assert.equal(reply.yourAddress, 0);
  assert.equal(reply.clientAddress, 0x7f000009);
  assert.equal(reply.options.get(dhcp.OPTION_MESSAGE_TYPE)![0], dhcp.ACK);
  assert.ok(reply.options.has(dhcp.OPTION_DNS) && !reply.options.has(dhcp.OPTION_LEASE_TIME));
  assert.equal(pool.size, 0);
});

test('counts DECLINE, BOOTP and unknown messages, and holds no address for them', () => {
  const { server: service, pool } = server();
  for (const type of [dhcp.DECLINE, null, 0, dhcp.OFFER, dhcp.ACK, 99])
    assert.equal(service.answer(request(type, STRANGER), VM), undefined);
  assert.equal(service.counters.unhandled, 6);
  assert.equal(pool.size, 0);
});

test('drops replies and hardware other than Ethernet', () => {
  const { server: service } = server();
  for (const change of [
    { op: dhcp.BOOT_REPLY },
    { hardwareType: 6 },
    { hardwareLength: 0 },
    { hardwareLength: 16 },
    { hardwareLength: 255 },
  ])
    assert.equal(service.answer(request(dhcp.DISCOVER, STRANGER, change), VM), undefined);
  assert.equal(service.answer(new Uint8Array(0), VM), undefined);
  assert.equal(service.counters.malformed, 6);
});

test('is silent when there is no address left', () => {
  const { server: service } = server({ prefix: 30 });
  assert.equal(yours(service.answer(request(dhcp.DISCOVER, DEVICE), VM)), '192.168.127.2');
  assert.equal(service.answer(request(dhcp.DISCOVER, STRANGER), VM), undefined);
  assert.equal(service.answer(request(dhcp.REQUEST, STRANGER), VM), undefined);
  assert.equal(service.counters.exhausted, 2);
});

test('survives a flood of 100 000 random MACs of one VM, and other VMs keep and get addresses', () => {
  const { server: service, pool } = server();
  service.answer(request(dhcp.REQUEST, STRANGER), VM);
  const message = request(dhcp.REQUEST, STRANGER);
  for (let i = 0; i < 100_000; i++) {
    message.set([0x06, i, i >>> 8, i >>> 16, 0, 0], 28);
    service.answer(message, OTHER);
  }
  assert.ok(pool.size <= 1 + 251 / 2);
  assert.equal(yours(service.answer(request(dhcp.REQUEST, STRANGER), VM)), '192.168.127.3');
  assert.equal(yours(service.answer(request(dhcp.REQUEST, DEVICE), VM)), '192.168.127.2');
  assert.notEqual(service.answer(request(dhcp.REQUEST, '020000000002'), VM), undefined);
});

test('a VM cannot release, decline or take over the lease of another by its hardware address', () => {
  const { server: service } = server();
  service.answer(request(dhcp.REQUEST, STRANGER), VM);
  for (const type of [dhcp.RELEASE, dhcp.DECLINE, dhcp.DISCOVER, dhcp.REQUEST]) service.answer(request(type, STRANGER), OTHER);
  assert.equal(yours(service.answer(request(dhcp.REQUEST, STRANGER), OTHER)), '192.168.127.4');
  assert.equal(yours(service.answer(request(dhcp.REQUEST, STRANGER), VM)), '192.168.127.3');
});

test('takes any bytes without a throw and answers only with whole messages', () => {
  const { server: service } = server();
  const good = request(dhcp.DISCOVER, STRANGER);
  for (let length = 0; length <= good.length; length++) service.answer(good.subarray(0, length), VM);
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(299), fc.nat(255)), { maxLength: 8 }), (changes) => {
      const bytes = good.slice();
      for (const [at, value] of changes) bytes[at] = value;
      const reply = service.answer(bytes, VM);
      if (reply === undefined) return;
      const { op, options } = dhcp.readDhcp(reply)!;
      assert.equal(op, dhcp.BOOT_REPLY);
      assert.ok(options.has(dhcp.OPTION_SERVER_ID));
    }),
  );
});

test('listens on port 67 of every address and answers through the reply it was given', () => {
  let listened: DatagramService | undefined;
  let closed = 0;
  const host: ServiceHost = {
    listenStream: () => assert.fail('no streams'),
    listenDatagram(port, service, options) {
      assert.deepEqual([port, options], [67, { anyAddress: true, version: 4 }]);
      listened = service;
      return { close: () => void closed++ };
    },
  };
  const { server: service } = server();
  service.listen(host);
  const replies: Uint8Array[] = [];
  const peer = { address: IpAddress.v4(0), port: 68, vm: VM };
  listened!(request(dhcp.DISCOVER, DEVICE), peer, (reply) => void replies.push(reply));
  listened!(request(dhcp.DECLINE, DEVICE), peer, (reply) => void replies.push(reply));
  assert.deepEqual(replies.map(yours), ['192.168.127.2']);
  service.close();
  assert.equal(closed, 1);
});
