import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { type DatagramEndpoint, DatagramReport, type EndpointHandler, Spans } from '../../src/host/endpoint.ts';
import { KernelNetwork } from '../../src/host/kernel-network.ts';
import { IpAddress } from '../../src/packet/address.ts';
import { Arena } from '../../src/runtime/arena.ts';
import { TurnLoop } from '../../src/runtime/turn-loop.ts';
import { EAGAIN, ECONNREFUSED, EMSGSIZE } from '../../src/system/errno.ts';

const HANGUP = 4;

class Events implements EndpointHandler {
  bits = 0;
  #waiting: (() => void) | null = null;

  onReady(events: number): void {
    this.bits |= events;
    this.#waiting?.();
  }

  async wait(mask: number): Promise<void> {
    const late = setTimeout(() => assert.fail(`no event ${mask} within 2 s`), 2000);
    while (!(this.bits & mask)) await new Promise<void>((resolve) => (this.#waiting = resolve));
    clearTimeout(late);
    this.bits &= ~mask;
  }
}

for (const [text, type, code] of [
  ['127.0.0.1', 3, 3],
  ['::1', 1, 4],
] as const)
  describe(`the error queue of the host's datagram sockets, ${text}`, () => {
    const arena = new Arena(8 << 20);
    const at = arena.allocate(1 << 20);
    const lengths = new Int32Array(64);
    const report = new DatagramReport();
    let loop: TurnLoop;
    let host: KernelNetwork;
    let closedPort: number;

    before(async () => {
      loop = new TurnLoop(arena);
      host = new KernelNetwork(loop, arena);
      const probe = await bound();
      closedPort = probe.address().port;
      probe.close();
    });
    after(() => loop.close());

    async function bound(): Promise<Socket> {
      const socket = createSocket(text === '::1' ? 'udp6' : 'udp4').bind(0, text);
      await once(socket, 'listening');
      return socket;
    }

    function open(port: number): { endpoint: DatagramEndpoint; events: Events } {
      const events = new Events();
      const endpoint = host.openDatagram(IpAddress.parse(text)!, port, 0, events);
      assert.ok(typeof endpoint === 'object');
      return { endpoint, events };
    }

    function spans(...texts: (string | Buffer)[]): Spans {
      const result = new Spans();
      let to = at;
      for (const text of texts) {
        const bytes = Buffer.from(text);
        arena.bytes.set(bytes, to);
        result.add(to, bytes.length);
        to += bytes.length;
      }
      return result;
    }

    test('a closed port is reported with who said so and what was sent, once', async () => {
      const { endpoint, events } = open(closedPort);
      assert.equal(endpoint.send(spans('what was sent')), 1);
      await events.wait(HANGUP);
      assert.equal(endpoint.nextReport(report, at + 4096, 520), true);
      const { errno, mtu, offender, length } = report;
      assert.deepEqual([errno, report.type, report.code, mtu, offender?.toString()], [ECONNREFUSED, type, code, 0, text]);
      assert.equal(Buffer.from(arena.bytes.subarray(at + 4096, at + 4096 + length)).toString(), 'what was sent');
      assert.equal(endpoint.nextReport(report, at, 520), false);
      assert.equal(endpoint.receive(at, 100, 100, 1, lengths), -EAGAIN, 'the report is not told a second time');
      endpoint.close();
    });

    test('a quoted datagram is cut to the room there is', async () => {
      const { endpoint, events } = open(closedPort);
      arena.bytes.fill(0, at + 4096, at + 8192);
      endpoint.send(spans(Buffer.alloc(400, 'x')));
      await events.wait(HANGUP);
      assert.equal(endpoint.nextReport(report, at + 4096, 100), true);
      assert.equal(report.length, 100);
      assert.equal(arena.bytes[at + 4096 + 99], 0x78);
      assert.equal(arena.bytes[at + 4096 + 100], 0);
      endpoint.close();
    });

    test('once all reports are taken sending goes on', async () => {
      const { endpoint, events } = open(closedPort);
      for (let i = 0; i < 5; i++) {
        assert.equal(endpoint.send(spans(`${i}`)), 1);
        await events.wait(HANGUP);
        while (endpoint.nextReport(report, at + 4096, 520)) assert.equal(report.errno, ECONNREFUSED);
      }
      endpoint.close();
    });

    test('the largest datagram there is passes the loopback whether or not fragments are forbidden', async () => {
      const server = await bound();
      const { endpoint } = open(server.address().port);
      // The loopback's MTU is 65,536 on Linux: nothing a datagram of IPv4 can be is too large for it.
      const whole = text === '::1' ? 65_536 - 40 - 8 : 65_507;
      endpoint.dontFragment(true);
      assert.equal(endpoint.send(spans(Buffer.alloc(whole))), 1);
      assert.equal(endpoint.nextReport(report, at, 520), false);
      assert.equal(endpoint.send(spans(Buffer.alloc(whole + 1))), -EMSGSIZE);
      endpoint.dontFragment(false);
      assert.equal(endpoint.send(spans(Buffer.alloc(65_507))), 1);
      endpoint.close();
      server.close();
    });

    test('answers behind a report are still received', async () => {
      const server = await bound();
      const { port } = server.address();
      const { endpoint, events } = open(port);
      server.on('message', (message, peer) => server.send(message, peer.port, peer.address));
      endpoint.send(spans('one'));
      await once(server, 'message');
      await events.wait(1);
      await new Promise<void>((resolve) => server.close(resolve));
      endpoint.send(spans('two'));
      await events.wait(HANGUP);
      assert.equal(endpoint.nextReport(report, at + 4096, 520), true);
      assert.equal(endpoint.receive(at, 100, 100, 1, lengths), 1);
      assert.equal(Buffer.from(arena.bytes.subarray(at, at + lengths[0]!)).toString(), 'one');
      endpoint.close();
    });
  });
