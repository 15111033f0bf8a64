import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { CAPTURE_LIMIT } from '../../../src/api/v1/capture.ts';
import { createV1 } from '../../../src/api/v1/v1.ts';
import { attachGuest } from '../../../src/testing/index.ts';
import { codeOf, createWorld, type World } from './world.ts';

const MAC = '5a:94:ef:00:00:01';

async function open({ v1 }: World, query = ''): Promise<ReadableStreamDefaultReader<Uint8Array>> {
  const response = await v1.fetch(new Request(`http://localhost/v1/capture${query}`));
  assert.deepEqual([response.status, response.headers.get('content-type')], [200, 'application/x-pcapng']);
  return response.body!.getReader();
}

/** What comes until the end, or until `enough` says that it is. */
async function collect(reader: ReadableStreamDefaultReader<Uint8Array>, enough: (bytes: Buffer) => boolean): Promise<Buffer> {
  let all = Buffer.alloc(0);
  while (!enough(all)) {
    const { done, value } = await reader.read();
    if (done) break;
    all = Buffer.concat([all, value]);
  }
  return all;
}

async function twoGuests(t: TestContext): Promise<World & { guests: ReturnType<typeof attachGuest>[] }> {
  const world = await createWorld(t);
  return { ...world, guests: [attachGuest(world.network, MAC), attachGuest(world.network, '5a:94:ef:00:00:02')] };
}

test('a capture shows the frames of one VM, both ways, and ends with statistics when the VM goes', async (t) => {
  const world = await twoGuests(t);
  const [one, two] = world.guests;
  for (const { guest } of [one!, two!]) {
    await guest.dhcp();
    await guest.resolve('gateway.containers.internal');
  }
  // From here on nothing is a broadcast.
  const reader = await open(world, '?port=1');
  for (const { guest } of [one!, two!]) await guest.resolve('gateway.containers.internal');
  two!.port.close();
  const bytes = await collect(reader, () => false);
  assert.equal(bytes.readUInt32LE(0), 0x0a0d0d0a);
  assert.equal(bytes.includes(Buffer.from('5a94ef000001', 'hex')), false);
  assert.equal(bytes.includes(Buffer.from('5a94ef000002', 'hex')), true);
  assert.equal(bytes.readUInt32LE(bytes.length - 52), 5, 'an interface statistics block');
});

test('captures of all VMs go on side by side, and cost nothing when they have ended', async (t) => {
  const world = await twoGuests(t);
  const [one, two] = world.guests;
  const readers = [await open(world), await open(world)];
  await one!.guest.dhcp();
  await two!.guest.dhcp();
  const hasBoth = (bytes: Buffer): boolean => ['5a94ef000001', '5a94ef000002'].every((mac) => bytes.includes(Buffer.from(mac, 'hex')));
  for (const reader of readers) assert.ok(hasBoth(await collect(reader, hasBoth)));
  assert.ok(world.network.ports.every(({ tap }) => tap !== null));
  for (const reader of readers) await reader.cancel();
  assert.ok(world.network.ports.every(({ tap }) => tap === null));
});

test('captures are limited, and one that has ended makes room', async (t) => {
  const world = await createWorld(t);
  const readers = [];
  for (let i = 0; i < CAPTURE_LIMIT; i++) readers.push(await open(world));
  const refused = await world.ask('GET', '/v1/capture');
  assert.deepEqual([refused.status, codeOf(refused), refused.headers.get('retry-after')], [503, 'too-many-captures', '10']);
  await readers[0]!.cancel();
  await (await open(world)).cancel();
  for (const reader of readers.slice(1)) await reader.cancel();
});

test('what can not be captured is refused', async (t) => {
  const { ask, network, registry } = await createWorld(t);
  assert.equal(codeOf(await ask('GET', '/v1/capture?port=7')), 'no-such-port');
  assert.equal(codeOf(await ask('GET', '/v1/capture?port=x')), 'invalid-request');
  assert.equal(codeOf(await ask('POST', '/v1/capture')), 'method-not-allowed');
  assert.equal((await ask('HEAD', '/v1/capture')).status, 200);
  const v1 = createV1(network, registry, { version: '1', captures: false });
  const { status } = await v1.fetch(new Request('http://localhost/v1/capture'));
  assert.equal(status, 403);
});

test('a capture of all VMs ends with the network', async (t) => {
  const world = await createWorld(t);
  const reader = await open(world);
  await world.network.close();
  const bytes = await collect(reader, () => false);
  assert.equal(bytes.readUInt32LE(bytes.length - 52), 5);
});
