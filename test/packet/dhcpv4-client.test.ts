import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseIpv4 } from '../../src/packet/address.ts';
import { ACK, BOOT_REPLY, type DhcpMessage, readDhcp, REQUEST } from '../../src/packet/dhcpv4.ts';
import { type DhcpLease, leaseOf, messageType, wordOption, writeClientMessage } from '../../src/packet/dhcpv4-client.ts';

function answer(options: readonly [number, Uint8Array | string][]): DhcpMessage {
  return {
    op: BOOT_REPLY,
    hardwareType: 1,
    hardwareLength: 6,
    xid: 1,
    flags: 0,
    clientAddress: 0,
    yourAddress: parseIpv4('192.168.127.2')!,
    serverAddress: 0,
    relayAddress: 0,
    hardwareAddress: new Uint8Array(16),
    options: new Map(options.map(([code, value]) => [code, typeof value === 'string' ? Buffer.from(value, 'hex') : value])),
  };
}

test('§11.2: a lease is what gvproxy sends with its default network', () => {
  // The bytes of the contract's example, by option.
  const lease = leaseOf(
    answer([
      [1, 'ffffff00'],
      [3, 'c0a87f01'],
      [6, 'c0a87f01'],
      [26, '05dc'],
      [51, '00000e10'],
      [53, '05'],
      [54, 'c0a87f01'],
      [119, ''],
    ]),
  );
  const gateway = parseIpv4('192.168.127.1')!;
  assert.deepEqual(lease, {
    address: parseIpv4('192.168.127.2'),
    mask: parseIpv4('255.255.255.0'),
    router: gateway,
    nameservers: [gateway],
    search: [],
    server: gateway,
    mtu: 1500,
    time: 3600,
    renewal: 1800,
    rebinding: 3150,
  } satisfies Record<keyof DhcpLease, unknown>);
});

test('what the server leaves out, cuts short or calls endless is nothing, or without an end', () => {
  assert.deepEqual(leaseOf(answer([])), {
    address: parseIpv4('192.168.127.2'),
    mask: 0,
    router: 0,
    nameservers: [],
    search: [],
    server: 0,
    mtu: 0,
    time: Infinity,
    renewal: Infinity,
    rebinding: Infinity,
  });
  const short = leaseOf(answer([1, 3, 6, 26, 51, 54].map((code) => [code, 'ff'])));
  assert.deepEqual([short.mask, short.router, short.nameservers, short.mtu, short.time], [0, 0, [], 0, Infinity]);
  assert.equal(leaseOf(answer([[51, 'ffffffff']])).time, Infinity);
});

test('T1 and T2 are what the server says, but not after the end of the lease', () => {
  const times = (renewal: string, rebinding: string): number[] => {
    const lease = leaseOf(
      answer([
        [51, '00000064'],
        [58, renewal],
        [59, rebinding],
      ]),
    );
    return [lease.renewal, lease.rebinding];
  };
  assert.deepEqual(times('0000000a', '00000014'), [10, 20]);
  assert.deepEqual(times('000003e8', '000007d0'), [100, 100]);
});

test('search domains are read with and without compression, and no pointer leads round in a circle', () => {
  const search = (hex: string): readonly string[] => leaseOf(answer([[119, hex]])).search;
  // one.test, two.test without, and the second one with a pointer to the first one's end.
  assert.deepEqual(search('036f6e650474657374000374776f047465737400'), ['one.test', 'two.test']);
  assert.deepEqual(search('036f6e6504746573740003' + '74776f' + 'c004'), ['one.test', 'two.test']);
  for (const circle of ['c000', '0161c000', '036f6e6500' + '0161c005', '0161' + 'c002', 'c0', 'c0ff'])
    assert.ok(search(circle).length <= 1, circle);
  assert.deepEqual(search('036f6e650004746573'), ['one'], 'a label that runs past the end');
  // A line of a resolver's file: nothing that begins another one.
  assert.deepEqual(search(`0a${Buffer.from('a\nnameserv').toString('hex')}00`), []);
});

test('neither long names nor many of them, nor a thousand servers, come of one message', () => {
  const long = '3f' + '61'.repeat(63);
  const lease = (options: [number, string][]): DhcpLease => leaseOf(answer(options));
  assert.equal(lease([[119, long.repeat(3) + '3d' + '61'.repeat(61) + '00']]).search[0]!.length, 253);
  assert.deepEqual(lease([[119, long.repeat(4) + '00' + '036f6e6500']]).search, []);
  const { search, nameservers } = lease([
    [119, '0161'.repeat(120) + '00' + 'c000'.repeat(20_000)],
    [6, '01020304'.repeat(1000)],
  ]);
  assert.deepEqual([search.length, search[31]!.length, nameservers.length], [32, 239, 8]);
});

test('a request says who asks, and reads back as it was written', () => {
  const bytes = writeClientMessage({
    type: REQUEST,
    xid: 0xfedcba98,
    mac: { hi: 0x5a94, lo: 0xefe40cee | 0 },
    address: 0x0a000001,
    options: [[50, wordOption(-1)]],
  });
  const message = readDhcp(bytes)!;
  assert.deepEqual([message.op, message.xid, message.clientAddress], [1, 0xfedcba98, 0x0a000001]);
  assert.equal(Buffer.from(message.hardwareAddress).toString('hex'), `5a94efe40cee${'00'.repeat(10)}`);
  assert.equal(messageType(message), REQUEST);
  assert.notEqual(messageType(message), ACK);
  assert.deepEqual(Buffer.from(message.options.get(50)!).toString('hex'), 'ffffffff');
});
