import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatAddress } from '../../../src/packet/address.ts';
import { TYPE_A, TYPE_AAAA } from '../../../src/service/dns/message.ts';
import { ZoneError, Zones } from '../../../src/service/dns/zones.ts';
import { CONTAINERS } from './bench.ts';

function format(address: Uint8Array): string {
  if (address.length === 4) return [...address].join('.');
  const word = (at: number): number => Buffer.from(address).readInt32BE(at);
  return formatAddress(word(0), word(4), word(8), word(12));
}

function ask(zones: Zones, name: string, type: number = TYPE_A): string | undefined {
  const answer = zones.answer(name, type, (pattern, text) => text.search(pattern) >= 0);
  return typeof answer === 'string' || answer === undefined ? answer : answer.map(format).join(' ');
}

test('adds a zone with a default address', () => {
  const zones = new Zones([]);
  zones.add({ name: 'internal.', records: [], defaultIP: '192.168.127.253' });
  assert.deepEqual(zones.list(), [{ name: 'internal.', records: [], defaultIP: '192.168.127.253' }]);
  assert.equal(ask(zones, 'anything.at.all.internal'), '192.168.127.253');
});

test('adds a zone with a record', () => {
  const zones = new Zones([]);
  zones.add({ name: 'internal.', records: [{ name: 'crc.testing', ip: '192.168.127.2' }] });
  assert.equal(ask(zones, 'crc.testing.internal'), '192.168.127.2');
  assert.equal(ask(zones, 'crc.internal'), 'nxdomain');
});

test('keeps two zones in the order they came', () => {
  const zones = new Zones([]);
  zones.add({ name: 'internal.', records: [], defaultIP: '10.0.0.1' });
  zones.add({ name: 'a.internal.', records: [], defaultIP: '10.0.0.2' });
  assert.deepEqual(
    zones.list().map(({ name }) => name),
    ['internal.', 'a.internal.'],
  );
  assert.equal(ask(zones, 'x.a.internal'), '10.0.0.1', 'the first zone wins, not the longest');
});

test('records for a zone that had a default address drop it', () => {
  const zones = new Zones([{ name: 'internal.', records: [], defaultIP: '10.0.0.1' }]);
  zones.add({ name: 'internal.', records: [{ name: 'a', ip: '10.0.0.2' }] });
  assert.deepEqual(zones.list(), [{ name: 'internal.', records: [{ name: 'a', ip: '10.0.0.2' }] }]);
  assert.equal(ask(zones, 'b.internal'), 'nxdomain');
});

test('puts new records in front, so that the newest wins', () => {
  const zones = new Zones([{ name: 'internal.', records: [{ name: 'a', ip: '10.0.0.1' }] }]);
  zones.add({ name: 'INTERNAL.', records: [{ name: 'a', ip: '10.0.0.2' }] });
  zones.add({ name: 'internal.', records: [{ name: 'b', ip: '10.0.0.3' }] });
  assert.deepEqual(
    zones.list().map(({ records }) => records.map(({ ip }) => ip)),
    [['10.0.0.3', '10.0.0.2', '10.0.0.1']],
  );
  assert.equal(ask(zones, 'a.internal'), '10.0.0.2');
});

test('keeps the place of a zone that is extended', () => {
  const zones = new Zones(['a.', 'b.', 'c.'].map((name) => ({ name, records: [] })));
  zones.add({ name: 'b.', records: [{ name: 'x', ip: '10.0.0.1' }] });
  assert.deepEqual(
    zones.list().map(({ name }) => name),
    ['a.', 'b.', 'c.'],
  );
});

test('matches names and zones whatever the case', () => {
  const zones = new Zones([{ name: 'Containers.Internal.', records: [{ name: 'GateWay', ip: '192.168.127.1' }] }]);
  assert.equal(ask(zones, 'gATEWAY.cONTAINERS.iNTERNAL'), '192.168.127.1');
});

test('owns every type of a name below its zones, and nothing else', () => {
  const zones = new Zones([CONTAINERS]);
  assert.equal(ask(zones, 'host.containers.internal', TYPE_AAAA), '', 'the name exists without such an address');
  assert.equal(ask(zones, 'nobody.containers.internal', TYPE_AAAA), 'nxdomain');
  for (const name of ['containers.internal', 'xcontainers.internal', 'internal', '', 'host.containers.internal.com'])
    assert.equal(ask(zones, name), undefined, name);
});

test('where guests have IPv6 a name has addresses of both versions, each in its own records', () => {
  const records = [
    { name: 'both', ip: '10.0.0.1' },
    { name: 'both', ip: 'fd00::1' },
    { name: 'six', ip: 'fd00::2' },
    { name: 'four', ip: '10.0.0.2' },
  ];
  const zones = new Zones([{ name: 'test.', records, defaultIP: 'fd00::9' }], true);
  const asked = ['both', 'six', 'four', 'other'].map((name) => [ask(zones, `${name}.test`), ask(zones, `${name}.test`, TYPE_AAAA)]);
  assert.deepEqual(asked, [
    ['10.0.0.1', 'fd00::1'],
    ['', 'fd00::2'],
    ['10.0.0.2', ''],
    ['', 'fd00::9'],
  ]);
  assert.equal(ask(zones, 'both.test', 15), '', 'other types are for nobody else either');
});

test('a zone without its final dot never matches', () => {
  assert.equal(ask(new Zones([{ name: 'internal', records: [], defaultIP: '10.0.0.1' }]), 'a.internal'), undefined);
});

test('matches a pattern anywhere in the labels in front of the zone', () => {
  const zones = new Zones([
    {
      name: 'testing.',
      records: [
        { name: '', pattern: /crc-(.*?)-master-0/, ip: '10.0.0.1' },
        { name: '', pattern: /^Api$/, ip: '10.0.0.2' },
      ],
    },
  ]);
  assert.equal(ask(zones, 'x.crc-k4n9r-master-0.y.testing'), '10.0.0.1');
  assert.equal(ask(zones, 'CRC-a-MASTER-0.testing'), '10.0.0.1');
  assert.equal(ask(zones, 'Api.testing'), '10.0.0.2', 'written with a capital, asked with it');
  assert.equal(ask(zones, 'crc-master.testing'), 'nxdomain');
});

test('a global pattern matches the second time as the first', () => {
  const zones = new Zones([{ name: 'testing.', records: [{ name: '', pattern: /a/g, ip: '10.0.0.1' }] }]);
  for (let i = 0; i < 3; i++) assert.equal(ask(zones, 'xa.testing'), '10.0.0.1');
});

test('answers 0.0.0.0 for a record whose address is not IPv4', () => {
  assert.equal(ask(new Zones([{ name: 'a.', records: [{ name: 'x', ip: '::1' }] }]), 'x.a'), '0.0.0.0');
});

test('§19 #684: zones that the configuration brings for guests to rely on are neither changed nor removed', () => {
  const zones = new Zones([{ name: 'Docker.internal.', records: [{ name: 'host', ip: '10.0.0.1' }] }]);
  const zone = { name: 'docker.INTERNAL.', records: [], defaultIP: '10.0.0.2' };
  assert.throws(() => zones.add(zone), new ZoneError("zone docker.INTERNAL. is protected and can't be changed"));
  assert.throws(() => zones.remove('docker.internal.'), ZoneError);
  assert.equal(zones.list().length, 1);
  const bare = new Zones([]);
  bare.add(zone);
  assert.equal(bare.remove('docker.internal.'), true);
  assert.equal(bare.remove('docker.internal.'), false);
  assert.deepEqual(bare.list(), []);
});

test('zones and records that are added without end come to a limit', () => {
  const zones = new Zones([]);
  for (let i = 0; i < 1024; i++) zones.add({ name: `z${i}.`, records: [], defaultIP: '10.0.0.1' });
  assert.throws(() => zones.add({ name: 'one-more.', records: [], defaultIP: '10.0.0.1' }), ZoneError);
  const records = Array.from({ length: 16_384 }, (_, i) => ({ name: `r${i}`, ip: '10.0.0.1' }));
  zones.add({ name: 'z0.', records });
  assert.throws(() => zones.add({ name: 'z0.', records: records.slice(0, 1) }), ZoneError);
  zones.add({ name: 'z1.', records: records.slice(0, 1) });
});

test('a zone that is replaced keeps its place and nothing else', () => {
  const zones = new Zones([
    { name: 'b.a.', records: [{ name: 'x', ip: '10.0.0.1' }], defaultIP: '10.0.0.2' },
    { name: 'a.', records: [], defaultIP: '10.0.0.3' },
  ]);
  zones.replace({ name: 'B.a.', records: [{ name: 'y', ip: '10.0.0.4' }] });
  assert.equal(ask(zones, 'y.b.a'), '10.0.0.4');
  assert.equal(ask(zones, 'x.b.a'), 'nxdomain');
  zones.replace({ name: 'c.', records: [], defaultIP: '10.0.0.5' });
  assert.deepEqual(
    zones.list().map(({ name }) => name),
    ['B.a.', 'a.', 'c.'],
  );
  assert.throws(() => zones.replace({ name: 'd.', records: [] }), /needs a record or a default IP/);
  const trusted = new Zones([{ name: 'containers.internal.', records: [], defaultIP: '10.0.0.1' }]);
  assert.throws(() => trusted.replace({ name: 'Containers.internal.', records: [], defaultIP: '10.0.0.2' }), /is protected/);
});
