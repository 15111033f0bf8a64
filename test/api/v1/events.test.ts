import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { test, type TestContext } from 'node:test';
import {
  EventHub,
  EVENT_KINDS,
  EVENTS_PER_SECOND,
  formatEvent,
  QUEUE_LIMIT,
  Subscriber,
  SUBSCRIBER_LIMIT,
} from '../../../src/api/v1/event-hub.ts';
import { HEARTBEAT } from '../../../src/api/v1/events.ts';
import { VirtualNetwork } from '../../../src/index.ts';
import { attachGuest } from '../../../src/testing/index.ts';
import { codeOf, createWorld, type World } from './world.ts';

const MAC = '5a:94:ef:00:00:01';
const HOST = '192.168.127.254';
const ALL = new Set(EVENT_KINDS);

interface Told {
  readonly kind: string;
  readonly data: Record<string, unknown>;
}

/** Reads a stream of events as a browser would. */
class Reader {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  #text = '';

  constructor(body: ReadableStream<Uint8Array>) {
    this.#reader = body.getReader();
  }

  /** The next block, whatever it is. */
  async block(): Promise<string> {
    for (;;) {
      const end = this.#text.indexOf('\n\n');
      if (end >= 0) {
        const block = this.#text.slice(0, end);
        this.#text = this.#text.slice(end + 2);
        return block;
      }
      const { done, value } = await this.#reader.read();
      if (done) throw new Error('the stream has ended');
      this.#text += Buffer.from(value).toString();
    }
  }

  async event(): Promise<Told> {
    const match = /^event: (\S+)\ndata: (.*)$/.exec(await this.block());
    assert.ok(match);
    return { kind: match[1]!, data: JSON.parse(match[2]!) as Record<string, unknown> };
  }

  /** The next event of a kind. */
  async next(kind: string): Promise<Record<string, unknown>> {
    for (;;) {
      const told = await this.event();
      if (told.kind === kind) return told.data;
    }
  }

  cancel(): Promise<void> {
    return this.#reader.cancel();
  }
}

async function subscribe(t: TestContext, { v1 }: World, query = ''): Promise<Reader> {
  const response = await v1.fetch(new Request(`http://localhost/v1/events${query}`));
  assert.deepEqual(
    [response.status, response.headers.get('content-type'), response.headers.get('cache-control')],
    [200, 'text/event-stream', 'no-store'],
  );
  const reader = new Reader(response.body!);
  t.after(() => reader.cancel());
  assert.equal(await reader.block(), 'retry: 2000');
  return reader;
}

test('tells of VMs, stations, leases and flows as they come and go', async (t) => {
  const world = await createWorld(t);
  const reader = await subscribe(t, world);
  const { guest, port } = attachGuest(world.network, MAC);
  const { address } = await guest.dhcp();
  assert.deepEqual(await reader.next('station'), { mac: MAC, port: port.id });
  assert.deepEqual(await reader.next('lease'), { address, mac: MAC });
  const server = createSocket('udp4');
  t.after(() => server.close());
  server.bind(0, '127.0.0.1');
  await once(server, 'listening');
  guest.sendDatagram(5000, HOST, server.address().port, Buffer.from('x'));
  const { id, ...opened } = await reader.next('flow-opened');
  assert.deepEqual([opened['protocol'], opened['guest'], opened['guestPort'], opened['remote']], ['udp', address, 5000, HOST]);
  assert.equal((await world.ask('DELETE', `/v1/flows/${String(id)}`)).status, 204);
  assert.equal((await reader.next('flow-closed'))['id'], id);
  port.close();
  assert.deepEqual(await reader.next('station-gone'), { mac: MAC, port: port.id });
});

test('tells of links, with the reason of their end', async (t) => {
  const world = await createWorld(t);
  const reader = await subscribe(t, world, '?kinds=port-attached,port-detached');
  const { port } = attachGuest(world.network, MAC);
  world.network.emit('connected', port, 'qemu');
  world.network.emit('station', MAC, port);
  world.network.emit('disconnected', port, 'end of file', 'qemu');
  assert.deepEqual(await reader.event(), { kind: 'port-attached', data: { port: port.id, name: port.name, link: 'qemu' } });
  assert.deepEqual(await reader.event(), {
    kind: 'port-detached',
    data: { port: port.id, name: port.name, link: 'qemu', reason: 'end of file' },
  });
});

test('sums up once a second what was dropped, by counter', async (t) => {
  const world = await createWorld(t);
  t.mock.timers.enable({ apis: ['setInterval'] });
  const tcp = world.network.counters.tcp as { dropMalformed: number; opened: number };
  const { port } = attachGuest(world.network, MAC);
  const reader = await subscribe(t, world, '?kinds=drops');
  t.mock.timers.tick(1000);
  tcp.dropMalformed += 5;
  tcp.opened += 5;
  port.counters.rxDropped += 2;
  t.mock.timers.tick(1000);
  t.mock.timers.tick(1000);
  tcp.dropMalformed += 1;
  t.mock.timers.tick(1000);
  assert.deepEqual((await reader.event()).data, {
    drops: [
      { counter: `ports.${port.id}.rxDropped`, count: 2 },
      { counter: 'tcp.dropMalformed', count: 5 },
    ],
  });
  assert.deepEqual((await reader.event()).data, { drops: [{ counter: 'tcp.dropMalformed', count: 1 }] });
});

test('a quiet stream gets a comment every 15 seconds', async (t) => {
  const world = await createWorld(t);
  t.mock.timers.enable({ apis: ['setInterval'] });
  const reader = await subscribe(t, world, '?kinds=lease');
  for (let i = 0; i < 3; i++) {
    const block = reader.block();
    await new Promise(setImmediate);
    t.mock.timers.tick(HEARTBEAT);
    assert.equal(await block, ':');
  }
});

test('a client that never reads costs a queue of limited length, and is told what it has lost', async (t) => {
  const world = await createWorld(t);
  const response = await world.v1.fetch(new Request('http://localhost/v1/events?kinds=lease'));
  const reader = new Reader(response.body!);
  t.after(() => reader.cancel());
  assert.equal(await reader.block(), 'retry: 2000');
  t.mock.method(performance, 'now', () => 5000);
  for (let i = 0; i < 600; i++) world.network.emit('lease', '192.168.127.2', MAC);
  t.mock.method(performance, 'now', () => 6000);
  await new Promise(setImmediate);
  for (let i = 0; i < 600; i++) world.network.emit('lease', '192.168.127.2', MAC);
  for (let i = 0; i < QUEUE_LIMIT; i++) assert.equal((await reader.event()).kind, 'lease');
  assert.deepEqual(await reader.event(), { kind: 'lost', data: { lost: 1200 - QUEUE_LIMIT } });
  t.mock.method(performance, 'now', () => 7000);
  world.network.emit('lease', '192.168.127.3', MAC);
  assert.equal((await reader.event()).data['address'], '192.168.127.3');
});

test('a queue holds no more than its limit, whatever is pushed', async () => {
  const subscriber = new Subscriber(ALL);
  for (let i = 0; i < 10_000; i++) {
    subscriber.push('event');
    subscriber.beat();
  }
  assert.equal(subscriber.size, QUEUE_LIMIT);
  const text = await subscriber.take();
  assert.equal(text, 'event'.repeat(QUEUE_LIMIT) + formatEvent('lost', { lost: 10_000 - QUEUE_LIMIT }));
  assert.equal(subscriber.size, 0);
});

test('guests decide how much happens, not how much is told: so many events a second, the rest is counted', async (t) => {
  const world = await createWorld(t);
  t.mock.method(performance, 'now', () => 9000);
  const hub = new EventHub(world.network);
  const quick = hub.subscribe(new Set(['lease']))!;
  const other = hub.subscribe(new Set(['station']))!;
  let told = 0;
  let lost = 0;
  for (let i = 0; i < EVENTS_PER_SECOND * 2; i++) {
    world.network.emit('lease', '192.168.127.2', MAC);
    const text = await quick.take();
    if (text.startsWith('event: lease')) told++;
    else lost += Number(/"lost":(\d+)/.exec(text)![1]);
  }
  assert.deepEqual([told, lost, other.size], [EVENTS_PER_SECOND, EVENTS_PER_SECOND, 0]);
  hub.unsubscribe(quick);
  hub.unsubscribe(other);
});

test('nothing listens to the network when nobody listens to the events, and flows are watched only on demand', async (t) => {
  const network = await VirtualNetwork.create();
  t.after(() => network.close());
  const watching: boolean[] = [];
  t.mock.method(network.flows, 'watch', (listener: unknown) => void watching.push(listener !== null));
  const hub = new EventHub(network);
  const names = ['connected', 'disconnected', 'station', 'stationGone', 'lease'] as const;
  const before = names.map((name) => network.listenerCount(name));
  const first = hub.subscribe(new Set(['lease']))!;
  assert.deepEqual(
    names.map((name) => network.listenerCount(name)),
    before.map((count) => count + 1),
  );
  const second = hub.subscribe(new Set(['flow-opened']))!;
  const third = hub.subscribe(ALL)!;
  hub.unsubscribe(second);
  assert.deepEqual(watching, [true]);
  hub.unsubscribe(third);
  assert.deepEqual(watching, [true, false]);
  hub.unsubscribe(first);
  assert.deepEqual(
    names.map((name) => network.listenerCount(name)),
    before,
  );
});

test('there are no more streams than the limit; one that ends makes room', async (t) => {
  const world = await createWorld(t);
  const readers: Reader[] = [];
  for (let i = 0; i < SUBSCRIBER_LIMIT; i++) readers.push(await subscribe(t, world, '?kinds=lease'));
  const refused = await world.ask('GET', '/v1/events');
  assert.deepEqual([refused.status, codeOf(refused), refused.headers.get('retry-after')], [503, 'too-many-subscribers', '10']);
  await readers[0]!.cancel();
  await subscribe(t, world);
});

test('unknown kinds are refused, and asking for the head alone opens no stream', async (t) => {
  const { ask, network } = await createWorld(t);
  const before = network.listenerCount('lease');
  for (const query of ['kinds=', 'kinds=lease,', 'kinds=leases', 'kind=lease']) {
    const answer = await ask('GET', `/v1/events?${query}`);
    assert.deepEqual([answer.status, codeOf(answer)], [400, 'invalid-request'], query);
  }
  assert.match((await ask('GET', '/v1/events?kinds=leases')).text, /want some of port-attached, port-detached, station/);
  const head = await ask('HEAD', '/v1/events');
  assert.deepEqual([head.status, head.headers.get('content-type'), head.text], [200, 'text/event-stream', '']);
  assert.equal(network.listenerCount('lease'), before);
});
