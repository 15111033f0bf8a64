import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { DatagramService, ServiceHost } from '../../../src/flow/listener.ts';
import { IpAddress } from '../../../src/packet/address.ts';
import * as dhcp from '../../../src/packet/dhcpv6.ts';
import { type Mac, parseMac } from '../../../src/packet/mac.ts';
import { Arena } from '../../../src/runtime/arena.ts';
import { LEASE_LIMIT, LeasePool6 } from '../../../src/service/dhcp6/lease-pool.ts';
import { Dhcp6Server, MESSAGE_LIMIT } from '../../../src/service/dhcp6/server.ts';
import { FakePort } from '../../fake-port.ts';

const ARENA = new Arena(4 << 20);
const VM = new FakePort(ARENA, 0);
const OTHER = new FakePort(ARENA, 1);
const GATEWAY = IpAddress.parse('fd00:1:2:3::1')!;
const DEVICE = parseMac('5a:94:ef:e4:0c:ee')!;
const STRANGER = parseMac('02:00:00:00:00:01')!;
/** What the stranger's kernel makes of its MAC address. */
const MADE = 'fd00:1:2:3:0:ff:fe00:1';
const SERVER = dhcp.duidOf(0x5a94, 0xefe40cdd | 0);

function setup(searchDomains: readonly string[] = ['lan']): { server: Dhcp6Server; pool: LeasePool6; given: string[] } {
  const [host, device] = [IpAddress.parse('fd00:1:2:3::254')!, IpAddress.parse('fd00:1:2:3::2')!];
  const pool = new LeasePool6({ gateway: GATEWAY, reserved: [GATEWAY, host, device], statics: new Map([['5a:94:ef:e4:0c:ee', device]]) });
  const given: string[] = [];
  const leased = (_mac: Mac, address: IpAddress): void => void given.push(address.toString());
  return { server: new Dhcp6Server({ pool, gateway: GATEWAY, mac: parseMac('5a:94:ef:e4:0c:dd')!, searchDomains, leased }), pool, given };
}

interface Asked {
  mac?: Mac;
  vm?: FakePort;
  /** IAIDs, each with the addresses that the client has in it. */
  associations?: [id: number, addresses?: string[]][];
  server?: Uint8Array | null;
  duid?: Uint8Array | null;
  rapid?: boolean;
}

interface Answer {
  type: number;
  options: dhcp.Options;
  /** Of each association: its addresses with their valid times, or its status. */
  found: string[];
  status: number | undefined;
}

function leased(...addresses: string[]): dhcp.LeasedAddress[] {
  return addresses.map((text) => {
    const { w0, w1, w2, w3 } = IpAddress.parse(text)!;
    return { words: [w0, w1, w2, w3], preferred: 0, valid: 0 };
  });
}

function message(type: number, asked: Asked = {}): Uint8Array {
  const { mac = STRANGER, associations = [[1]], rapid = false } = asked;
  const duid = asked.duid === undefined ? dhcp.duidOf(mac.hi, mac.lo) : asked.duid;
  const named = [dhcp.REQUEST, dhcp.RENEW, dhcp.RELEASE, dhcp.DECLINE].includes(type as 3);
  const server = asked.server === undefined ? (named ? SERVER : null) : asked.server;
  const options: [number, Uint8Array][] = [];
  if (duid !== null) options.push([dhcp.OPTION_CLIENT_ID, duid]);
  if (server !== null) options.push([dhcp.OPTION_SERVER_ID, server]);
  if (rapid) options.push([dhcp.OPTION_RAPID_COMMIT, new Uint8Array(0)]);
  for (const [id, addresses = []] of associations) {
    options.push([dhcp.OPTION_IA_NA, dhcp.writeAssociation({ id, renew: 0, rebind: 0, addresses: leased(...addresses) })]);
  }
  return dhcp.writeDhcp6({ type, transaction: 0xabcdef, options });
}

function ask(server: Dhcp6Server, type: number, asked: Asked = {}): Answer | undefined {
  const { mac = STRANGER, vm = VM } = asked;
  const bytes = server.answer(message(type, asked), { vm, mac });
  if (bytes === undefined) return undefined;
  const answer = dhcp.readDhcp6(bytes)!;
  assert.equal(answer.transaction, 0xabcdef);
  assert.deepEqual(Buffer.from(dhcp.option(answer.options, dhcp.OPTION_SERVER_ID)!), Buffer.from(SERVER));
  const status = dhcp.option(answer.options, dhcp.OPTION_STATUS);
  const found = dhcp.readAssociations(answer.options)!.map(({ addresses }, i) => {
    const body = answer.options.filter(([code]) => code === dhcp.OPTION_IA_NA)[i]![1];
    if (addresses.length === 0) return `status ${body[17]}`;
    return addresses.map(({ words, valid }) => `${new IpAddress(...words).toString()} ${valid}`).join(', ');
  });
  return { type: answer.type, options: answer.options, found, status: status?.[1] };
}

test('offers and gives the address that the guest makes itself of its MAC address, and the device its own', () => {
  const { server, pool, given } = setup();
  const offer = ask(server, dhcp.SOLICIT)!;
  assert.deepEqual([offer.type, offer.found], [dhcp.ADVERTISE, [`${MADE} 7200`]]);
  assert.deepEqual(Buffer.from(dhcp.option(offer.options, dhcp.OPTION_CLIENT_ID)!), Buffer.from(dhcp.duidOf(STRANGER.hi, STRANGER.lo)));
  assert.deepEqual([...dhcp.option(offer.options, dhcp.OPTION_PREFERENCE)!], [255]);
  assert.equal(pool.size, 0, 'an offer is not held');
  const reply = ask(server, dhcp.REQUEST)!;
  assert.deepEqual([reply.type, reply.found], [dhcp.REPLY, [`${MADE} 7200`]]);
  assert.deepEqual(ask(server, dhcp.REQUEST, { mac: DEVICE })!.found, ['fd00:1:2:3::2 7200']);
  assert.deepEqual(given, [MADE, 'fd00:1:2:3::2']);
  assert.deepEqual(
    [...pool.list()],
    [
      ['fd00:1:2:3::2', '5a:94:ef:e4:0c:ee'],
      [MADE, '02:00:00:00:00:01'],
    ],
  );
});

test('tells the resolver and the search list, and what is asked for without an address', () => {
  const { server } = setup(['lan', 'x'.repeat(64), 'corp.test']);
  for (const answer of [ask(server, dhcp.SOLICIT)!, ask(server, dhcp.INFORMATION_REQUEST, { associations: [] })!]) {
    assert.equal(Buffer.from(dhcp.option(answer.options, dhcp.OPTION_DNS)!).toString('hex'), 'fd000001000200030000000000000001');
    assert.equal(Buffer.from(dhcp.option(answer.options, dhcp.OPTION_SEARCH)!).toString('latin1'), '\x03lan\x00\x04corp\x04test\x00');
  }
  const nameless = ask(server, dhcp.INFORMATION_REQUEST, { associations: [], duid: null })!;
  assert.equal(dhcp.option(nameless.options, dhcp.OPTION_CLIENT_ID), undefined);
  assert.equal(dhcp.option(ask(setup([]).server, dhcp.SOLICIT)!.options, dhcp.OPTION_SEARCH), undefined);
  const many = setup(Array.from({ length: 200 }, (_, i) => `domain${i}.test`)).server;
  assert.ok(dhcp.option(ask(many, dhcp.SOLICIT)!.options, dhcp.OPTION_SEARCH)!.length <= 1000);
});

test('gives at once to who asks for that', () => {
  const { server, pool } = setup();
  const reply = ask(server, dhcp.SOLICIT, { rapid: true })!;
  assert.deepEqual([reply.type, reply.found, pool.size], [dhcp.REPLY, [`${MADE} 7200`], 1]);
  assert.deepEqual(dhcp.option(reply.options, dhcp.OPTION_RAPID_COMMIT)?.length, 0);
});

test('renews and rebinds, and takes back addresses that are not the lease', () => {
  const { server, pool } = setup();
  for (const type of [dhcp.REQUEST, dhcp.RENEW, dhcp.REBIND]) {
    const { found } = ask(server, type, { associations: [[1, [MADE, 'fd00:1:2:3::77', '2001:db8::1']]] })!;
    assert.deepEqual(found, [`${MADE} 7200, fd00:1:2:3::77 0, 2001:db8::1 0`]);
  }
  assert.equal(pool.size, 1);
});

test('each association has an address of its own, the same again, with other VMs too', () => {
  const { server, pool } = setup();
  const first = ask(server, dhcp.REQUEST, { associations: [[1], [2], [3]] })!.found;
  assert.equal(new Set(first).size, 3);
  assert.equal(first[0], `${MADE} 7200`);
  assert.deepEqual(ask(server, dhcp.RENEW, { associations: [[1], [2], [3]] })!.found, first);
  const clone = ask(server, dhcp.REQUEST, { vm: OTHER })!.found[0]!;
  assert.ok(clone.startsWith('fd00:1:2:3:') && !first.includes(clone), clone);
  pool.detached(VM);
  assert.equal(pool.size, 1);
  assert.deepEqual(ask(server, dhcp.REQUEST, { associations: [[1]] })!.found, [`${MADE} 7200`], 'when it comes back');
});

test('confirms addresses of this link', () => {
  const { server } = setup();
  const confirm = (...addresses: string[]): number | undefined => ask(server, dhcp.CONFIRM, { associations: [[1, addresses]] })?.status;
  assert.equal(confirm(MADE, 'fd00:1:2:3::9'), dhcp.STATUS_SUCCESS);
  assert.equal(confirm(MADE, '2001:db8::1'), dhcp.STATUS_NOT_ON_LINK);
  assert.equal(confirm(), undefined);
});

test('a lease ends when it is released; an address that is declined is not given to its VM again', () => {
  const { server, pool } = setup();
  assert.deepEqual(ask(server, dhcp.RELEASE)!.found, ['status 3']);
  ask(server, dhcp.REQUEST);
  const released = ask(server, dhcp.RELEASE, { associations: [[1, [MADE]]] })!;
  assert.deepEqual([released.status, released.found, pool.size], [dhcp.STATUS_SUCCESS, [], 0]);
  ask(server, dhcp.REQUEST);
  assert.equal(ask(server, dhcp.DECLINE, { associations: [[1, [MADE]]] })!.status, dhcp.STATUS_SUCCESS);
  const next = ask(server, dhcp.REQUEST)!.found[0]!;
  assert.ok(!next.startsWith(MADE) && next.startsWith('fd00:1:2:3:'), next);
  assert.deepEqual([server.counters.releases, server.counters.declines], [2, 1]);
  assert.deepEqual(ask(server, dhcp.DECLINE, { associations: [[9]] })!.found, ['status 3']);
  assert.equal(ask(server, dhcp.RELEASE, { vm: OTHER })!.found[0], 'status 3', "another VM's is not its own to give up");
  assert.equal(pool.size, 1);
});

test('an association that is in a message more than once is answered once', () => {
  const { server, pool } = setup();
  const found = (...ids: number[]): number => ask(server, dhcp.REQUEST, { associations: ids.map((id) => [id]) })!.found.length;
  assert.equal(found(7, 7, 7), 1);
  assert.equal(pool.size, 1);
  assert.equal(found(...Array.from({ length: 16 }, (_, i) => i >>> 1)), 8, 'what is beyond eight is beyond eight different ones');
});

test('who declines whatever he is given is given another address each time', () => {
  const { server, pool } = setup();
  const given = new Set<string>();
  for (let i = 0; i < 200; i++) {
    given.add(ask(server, dhcp.REQUEST)!.found[0]!);
    ask(server, dhcp.DECLINE);
  }
  // 64 are remembered, the first forgotten first: then they are good for another turn.
  assert.equal(given.size, 65);
  assert.equal(pool.size, 0);
});

test('is silent where the RFC has it: servers and clients that are not named, or are when they should not be', () => {
  const { server, pool } = setup();
  const other = dhcp.duidOf(1, 2);
  const silent: [number, Asked][] = [
    [dhcp.SOLICIT, { duid: null }],
    [dhcp.SOLICIT, { server: SERVER }],
    [dhcp.REBIND, { server: SERVER }],
    [dhcp.CONFIRM, { server: SERVER, associations: [[1, [MADE]]] }],
    [dhcp.REQUEST, { server: null }],
    [dhcp.REQUEST, { server: other }],
    [dhcp.RENEW, { server: other }],
    [dhcp.RELEASE, { server: null }],
    [dhcp.DECLINE, { duid: null }],
    [dhcp.INFORMATION_REQUEST, { server: other, associations: [] }],
    [dhcp.INFORMATION_REQUEST, {}],
    [dhcp.REQUEST, { duid: new Uint8Array(2) }],
    [dhcp.REQUEST, { duid: new Uint8Array(131) }],
    ...[dhcp.ADVERTISE, dhcp.REPLY, 10, 12, 13, 0, 255].map((type): [number, Asked] => [type, {}]),
  ];
  for (const [type, asked] of silent) assert.equal(ask(server, type, asked), undefined, `${type} ${JSON.stringify(asked)}`);
  assert.equal(server.counters.unhandled, silent.length);
  assert.equal(pool.size, 0);
  assert.equal(server.answer(new Uint8Array(MESSAGE_LIMIT + 1).fill(1), { vm: VM, mac: STRANGER }), undefined);
  assert.equal(server.answer(message(dhcp.SOLICIT), { vm: VM }), undefined, 'nobody knows whose it is');
  assert.equal(server.counters.malformed, 2);
});

test('a VM that makes clients up takes its share of the leases, its own oldest making room; others get theirs', () => {
  const { server, pool } = setup();
  ask(server, dhcp.REQUEST, { vm: OTHER, mac: DEVICE });
  for (let i = 0; i < 5000; i++) ask(server, dhcp.REQUEST, { duid: Buffer.from(`client ${i}`), associations: [[1]] });
  assert.ok(pool.size <= LEASE_LIMIT / 2 + 2, `${pool.size}`);
  assert.deepEqual(ask(server, dhcp.RENEW, { vm: OTHER, mac: DEVICE })!.found, ['fd00:1:2:3::2 7200']);
  assert.equal(ask(server, dhcp.REQUEST, { associations: Array.from({ length: 40 }, (_, i): [number] => [i]) })!.found.length, 8);
  for (let i = 0; i < 200; i++) {
    ask(server, dhcp.REQUEST, { vm: OTHER });
    ask(server, dhcp.DECLINE, { vm: OTHER });
  }
  assert.match(ask(server, dhcp.REQUEST, { vm: OTHER })!.found[0]!, / 7200$/);
});

test('takes any bytes without a throw', () => {
  const { server } = setup();
  const good = message(dhcp.REQUEST, { associations: [[1, [MADE]]] });
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 6 }), fc.nat(good.length), (changes, length) => {
      const bytes = good.slice(0, length);
      for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
      const answer = server.answer(bytes, { vm: VM, mac: STRANGER });
      if (answer !== undefined) assert.ok(dhcp.readDhcp6(answer));
    }),
  );
});

test('listens on port 547, of IPv6 alone, and answers through the reply it was given', () => {
  const { server } = setup();
  let listened: DatagramService | undefined;
  let closed = 0;
  const host: ServiceHost = {
    listenStream: () => assert.fail('no streams'),
    listenDatagram: (port, service, options) => {
      assert.deepEqual([port, options], [547, { anyAddress: true, version: 6 }]);
      listened = service;
      return { close: () => void closed++ };
    },
  };
  server.listen(host);
  const replies: Uint8Array[] = [];
  const peer = { address: IpAddress.parse('fe80::1')!, port: 546, vm: VM, mac: STRANGER };
  listened!(message(dhcp.SOLICIT), peer, (reply) => void replies.push(reply));
  listened!(message(dhcp.REPLY), peer, (reply) => void replies.push(reply));
  assert.equal(replies.length, 1);
  server.close();
  assert.equal(closed, 1);
});
