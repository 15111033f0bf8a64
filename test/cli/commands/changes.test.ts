import assert from 'node:assert/strict';
import { test } from 'node:test';
import { attachGuest } from '../../../src/testing/index.ts';
import { cells, createWorld } from './world.ts';

test('forward add makes forwards as they are written for people, ls lists them, rm removes them', async (t) => {
  const { guestwire, network } = await createWorld(t);
  const added = await guestwire('forward add 0:80 udp:0:53 0.0.0.0:0:192.168.127.3:8080');
  assert.equal(added.status, 0, added.stderr);
  const [head, ...rows] = cells(added.stdout);
  assert.deepEqual(head, ['protocol', 'local', 'port', 'remote']);
  assert.deepEqual(
    rows.map(([protocol, local, , remote]) => [protocol, local, remote]),
    [
      ['tcp', '127.0.0.1:0', '192.168.127.2:80'],
      ['udp', '127.0.0.1:0', '192.168.127.2:53'],
      ['tcp', '0.0.0.0:0', '192.168.127.3:8080'],
    ],
  );
  assert.ok(rows.every(([, , port]) => Number(port) > 0));
  assert.equal(cells((await guestwire('forward ls')).stdout).length, 1 + network.forwards.list().length);
});

test('forwards of ranges are added and removed whole', async (t) => {
  const { guestwire, network } = await createWorld(t);
  const base = 21_000 + (process.pid % 9000) * 4;
  const range = `${base}-${base + 2}`;
  const { status, stderr } = await guestwire(`forward add ${range}:8000-8002`);
  assert.equal(status, 0, stderr);
  assert.deepEqual(
    network.forwards.list().map(({ local, remote }) => [local, remote]),
    [0, 1, 2].map((i) => [`127.0.0.1:${base + i}`, `192.168.127.2:${8000 + i}`]),
  );
  const twice = await guestwire(`forward add ${base + 1}:80`);
  assert.equal(twice.status, 1);
  assert.match(twice.stderr, /^guestwire forward: .*127\.0\.0\.1:\d+/);
  assert.deepEqual(await guestwire(`forward rm ${range}`), { status: 0, stdout: '', stderr: '' });
  assert.deepEqual(network.forwards.list(), []);
  const gone = await guestwire(`forward rm ${base}`);
  assert.deepEqual(
    [gone.status, gone.stderr],
    [1, `guestwire forward: there is no forward of tcp on 127.0.0.1:${base} (guestwire forward ls lists them)\n`],
  );
});

test('what is no forward is refused before anything is asked', async (t) => {
  const { guestwire, network } = await createWorld(t);
  for (const word of ['8080', 'tcp:80', '8080:', ':80', '8080:80:http', 'x y:80']) {
    const { status, stderr } = await guestwire(`forward add ${word.replace(' ', '_')}`);
    assert.equal(status, 2, word);
    assert.match(stderr, /can't be read as a forward: want 8080:80, udp:5353:53, /);
  }
  assert.equal((await guestwire('forward rm 80:80:80')).status, 2);
  assert.deepEqual(network.forwards.list(), []);
});

test('dns add makes a name that guests resolve, in a zone made for it, and rm takes it away', async (t) => {
  const { guestwire, network } = await createWorld(t);
  const { guest } = attachGuest(network, '5a:94:ef:e4:0c:ee');
  await guest.dhcp();
  for (const [name, address] of [
    ['db.test', '10.0.0.1'],
    ['www.test.', '10.0.0.2'],
    ['a.b.test', '10.0.0.3'],
  ]) {
    const { status, stderr } = await guestwire(`dns add ${name} ${address}`);
    assert.equal(status, 0, stderr);
  }
  assert.deepEqual(await guest.resolve('db.test'), ['10.0.0.1']);
  assert.deepEqual(await guest.resolve('www.test'), ['10.0.0.2']);
  assert.deepEqual(await guest.resolve('a.b.test'), ['10.0.0.3']);
  const rows = cells((await guestwire('dns ls')).stdout).filter(([zone]) => zone === 'test.');
  assert.deepEqual(
    rows.map(([, name]) => name!).toSorted((a, b) => a.localeCompare(b)),
    ['a.b', 'db', 'www'],
  );
  for (const name of ['db.test', 'www.test', 'a.b.test']) assert.equal((await guestwire(`dns rm ${name}`)).status, 0);
  assert.ok(!network.zones.list().some(({ name }) => name === 'test.'), 'the zone went with its last name');
  const gone = await guestwire('dns rm db.test');
  assert.deepEqual([gone.status, gone.stderr], [1, 'guestwire dns: there is no name "db.test" (guestwire dns ls lists them)\n']);
});

test('dns takes the zone that it is given, and refuses what is in none', async (t) => {
  const { guestwire, network } = await createWorld(t);
  assert.equal((await guestwire('dns add a.b 10.0.0.1 --zone example.test')).status, 0);
  assert.deepEqual(network.zones.list().find(({ name }) => name === 'example.test.')?.records[0]?.name, 'a.b');
  for (const [line, status, text] of [
    ['dns add db 10.0.0.1', 2, /"db" is in no zone: write it whole, such as db\.test, or add --zone ZONE/],
    ['dns add example.test 10.0.0.1', 2, /"example\.test" is a zone itself: want a name in it, such as www\.example\.test/],
    ['dns add x.test 10.0.0.999', 2, /"10\.0\.0\.999" is no IP address/],
  ] as const) {
    const called = await guestwire(line);
    assert.equal(called.status, status, called.stderr);
    assert.match(called.stderr, text);
  }
});
