import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { type DatagramEndpoint, type EndpointHandler, Spans, type StreamEndpoint } from '../../src/host/endpoint.ts';
import { KernelNetwork } from '../../src/host/kernel-network.ts';
import { IpAddress } from '../../src/packet/address.ts';
import { missing } from '../guest/requirement.ts';
import { Arena } from '../../src/runtime/arena.ts';
import { TurnLoop } from '../../src/runtime/turn-loop.ts';
import { SystemError } from '../../src/system/error.ts';
import { EAGAIN, ECONNREFUSED, ECONNRESET, EINPROGRESS, EPIPE } from '../../src/system/errno.ts';
import { addressOf, send } from '../../src/system/syscalls.ts';

const MSG_OOB = 1;

const LOOPBACK = IpAddress.parse('127.0.0.1')!;

/** Far less than the kernel's probe of a closed window takes to set things moving again. */
async function late(): Promise<never> {
  await pause(150);
  throw new Error('nothing came for 150 ms');
}

/** Bytes in the receive queue of the socket that is connected to `port` of the loopback. */
function receiveQueue(port: number): number {
  const remote = `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const fields = readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .find((line) => line[2] === remote);
  return Number.parseInt(fields![4]!.split(':')[1]!, 16);
}

/** As this kernel is, and as one before Linux 6.9, whose TCP sockets are only peeked at from the head. */
for (const seeks of [undefined, false]) {
  describe(`the host's kernel sockets${seeks === false ? ', peeking from the head' : ''}`, () => {
    const arena = new Arena(32 << 20);
    const at = arena.allocate(4 << 20);
    let loop: TurnLoop;
    let host: KernelNetwork;

    before(() => {
      loop = new TurnLoop(arena);
      host = new KernelNetwork(loop, arena, seeks);
    });
    after(() => loop.close());

    /** Collects events, and lets tests wait for some. */
    class Events implements EndpointHandler {
      bits = 0;
      #waiting: (() => void) | null = null;

      onReady(events: number): void {
        this.bits |= events;
        this.#waiting?.();
      }

      async wait(mask: number): Promise<void> {
        while (!(this.bits & mask)) await new Promise<void>((resolve) => (this.#waiting = resolve));
        this.bits &= ~mask;
      }
    }

    async function serve(accept: (socket: Socket) => void): Promise<{ server: Server; port: number }> {
      const server = createServer({ allowHalfOpen: true }, (socket) => {
        socket.on('error', () => {});
        accept(socket);
      });
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      return { server, port: (server.address() as AddressInfo).port };
    }

    async function open(port: number): Promise<{ stream: StreamEndpoint; events: Events }> {
      const events = new Events();
      const stream = host.connectStream(LOOPBACK, port, events);
      assert.ok(typeof stream === 'object');
      while (stream.connectStatus() === -EINPROGRESS) await events.wait(2);
      return { stream, events };
    }

    function spansOf(...pieces: Buffer[]): Spans {
      const spans = new Spans();
      let to = at;
      for (const piece of pieces) {
        arena.bytes.set(piece, to);
        spans.add(to, piece.length);
        to += piece.length + 32;
      }
      return spans;
    }

    test('peeks at any offset, forwards and backwards, and discards', async () => {
      const text = Buffer.from(Array.from({ length: 60_000 }, (_, i) => (i * 31 + (i >> 8)) & 255));
      const { server, port } = await serve((socket) => socket.write(text));
      const { stream, events } = await open(port);
      for (let have = 0; have < text.length;) {
        await events.wait(1);
        have = stream.peek(0, at, 60_000, 60_000, 1);
      }
      let head = 0;
      let seed = 1;
      for (let i = 0; i < 500; i++) {
        seed = (seed * 1103515245 + 12345) & 0x7fffffff;
        const skip = seed % 20_000;
        const size = 1 + (seed % 1460);
        const slots = 1 + (seed % 40);
        const got = stream.peek(skip, at, size, size + 54, slots);
        const expected = text.subarray(head + skip, head + skip + size * slots);
        assert.equal(got, expected.length === 0 ? -EAGAIN : expected.length, `step ${i}`);
        for (let slot = 0; slot * size < expected.length; slot++) {
          const want = expected.subarray(slot * size, (slot + 1) * size);
          const start = at + slot * (size + 54);
          assert.equal(Buffer.compare(arena.bytes.subarray(start, start + want.length), want), 0, `step ${i}, slot ${slot}`);
        }
        if (i % 5 === 0) {
          const drop = Math.min(seed % 800, text.length - head);
          stream.discard(drop);
          head += drop;
        }
      }
      stream.close();
      server.close();
    });

    test('writes gather, take what fits and report when there is room again', async () => {
      let received = 0;
      const peers: Socket[] = [];
      const { server, port } = await serve((socket) => {
        peers.push(socket);
        socket.pause();
        socket.on('data', (chunk) => (received += chunk.length));
      });
      const { stream, events } = await open(port);
      assert.equal(stream.write(spansOf(Buffer.from('abc'), Buffer.from('defg'))), 7);
      let sent = 7;
      const block = spansOf(Buffer.alloc(1 << 20));
      for (;;) {
        const taken = stream.write(block);
        if (taken > 0) sent += taken;
        if (taken < 1 << 20) break;
      }
      events.bits = 0;
      while (peers.length === 0) await new Promise((resolve) => setImmediate(resolve));
      const [peer] = peers as [Socket];
      peer.resume();
      await events.wait(2);
      stream.shutdownWrite();
      await once(peer, 'end');
      assert.equal(received, sent);
      stream.close();
      peer.destroy();
      server.close();
    });

    test('end of stream, half-close and reset are told apart', async () => {
      const { server, port } = await serve((socket) => {
        socket.on('data', (chunk) => {
          if (chunk.toString() === 'end') socket.end('bye');
          else socket.resetAndDestroy();
        });
      });
      const ended = await open(port);
      ended.stream.write(spansOf(Buffer.from('end')));
      await ended.events.wait(4);
      assert.equal(ended.stream.peek(0, at, 100, 100, 1), 3);
      assert.equal(ended.stream.peek(3, at, 100, 100, 1), 0);
      assert.equal(ended.stream.connectStatus(), 0);
      ended.stream.close();
      const broken = await open(port);
      broken.stream.write(spansOf(Buffer.from('reset')));
      await broken.events.wait(4);
      assert.equal(broken.stream.connectStatus(), -ECONNRESET);
      assert.ok([-EPIPE, -ECONNRESET].includes(broken.stream.write(spansOf(Buffer.from('x')))));
      broken.stream.close();
      server.close();
    });

    test('small messages that are discarded one by one are never seen again, and the stream ends without a reset', async () => {
      const errors: Error[] = [];
      let peerEnded!: () => void;
      const ended = new Promise<void>((resolve) => (peerEnded = resolve));
      const { server, port } = await serve((socket) => {
        socket.on('error', (error) => errors.push(error));
        socket.on('data', (chunk) => {
          if (chunk.includes('.')) socket.end(chunk);
          else socket.write(chunk);
        });
        socket.on('end', () => peerEnded());
      });
      const { stream, events } = await open(port);
      const answer = async (text: string): Promise<void> => {
        stream.write(spansOf(Buffer.from(text)));
        for (let have = 0; have < text.length;) {
          await events.wait(1);
          have = stream.peek(0, at, 1000, 1000, 1);
        }
        assert.equal(Buffer.from(arena.bytes.subarray(at, at + text.length)).toString(), text);
        assert.equal(stream.peek(text.length, at, 1000, 1000, 1), text.endsWith('.') ? 0 : -EAGAIN);
        stream.discard(text.length);
      };
      for (let i = 0; i < 300; i++) await answer(`message ${i}`.repeat(i % 50 === 0 ? 100 : 1).slice(0, 900));
      stream.write(spansOf(Buffer.from('last.')));
      await events.wait(4);
      assert.equal(stream.peek(0, at, 1000, 1000, 1), 5);
      assert.equal(stream.peek(5, at, 1000, 1000, 1), 0);
      stream.discard(5);
      assert.equal(stream.peek(0, at, 1000, 1000, 1), 0);
      stream.shutdownWrite();
      await ended;
      stream.close();
      await new Promise((resolve) => setTimeout(resolve, 50));
      assert.deepEqual(errors, []);
      server.close();
    });

    test('a peer that sends without end is never held up, however the bytes are looked at and discarded', async () => {
      const block = Buffer.alloc(1 << 20, 'x');
      const { server, port } = await serve((socket) => {
        const more = (): void => {
          while (!socket.destroyed && socket.write(block));
        };
        socket.on('drain', more);
        more();
      });
      server.unref();
      for (let run = 0; run < 10; run++) {
        const { stream, events } = await open(port);
        let [ahead, total, seed] = [0, 0, run + 1];
        const random = (below: number): number => {
          seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
          return (seed >> 8) % below;
        };
        try {
          while (total < 4 << 20) {
            const size = 1 + random(1460);
            const slots = 1 + random(run % 2 === 0 ? 3 : 100);
            const got = stream.peek(ahead, at, size, size, slots);
            if (got > 0) ahead += got;
            // What is in flight is limited, as by a guest's window.
            for (const floor = got < size * slots ? 0 : 200_000; ahead > floor;) {
              const count = Math.min(ahead, 1 + random(20_000));
              stream.discard(count);
              ahead -= count;
              total += count;
            }
            if (got < size * slots) await Promise.race([events.wait(1), late()]);
          }
        } finally {
          stream.close();
        }
      }
      server.close();
    });

    test('a queue that was deep keeps nothing that is discarded: the kernel may have joined it to a large buffer', async () => {
      const sockets: Socket[] = [];
      const { server, port } = await serve((socket) => sockets.push(socket));
      const { stream, events } = await open(port);
      const take = async (bytes: number): Promise<void> => {
        for (let have = 0; have < bytes;) {
          await events.wait(1);
          have = stream.peek(0, at, 200_000, 200_000, 1);
        }
      };
      while (sockets.length === 0) await pause(1);
      sockets[0]!.write(Buffer.alloc(100_000));
      await take(100_000);
      sockets[0]!.write(Buffer.alloc(4096));
      await events.wait(1);
      stream.discard(100_000);
      assert.equal(stream.peek(0, at, 200_000, 200_000, 1), 4096);
      stream.discard(4096);
      assert.equal(receiveQueue(port), 0);
      stream.close();
      sockets[0]!.destroy();
      server.close();
    });

    test('urgent data comes in order with the rest, and holds up nothing behind it', async (t) => {
      const sockets: Socket[] = [];
      const { server, port } = await serve((socket) => sockets.push(socket));
      const { stream, events } = await open(port);
      t.after(() => {
        stream.close();
        sockets[0]?.destroy();
        server.close();
      });
      while (sockets.length === 0) await pause(1);
      const fd = (sockets[0] as unknown as { _handle: { fd: number } })._handle.fd;
      const urgent = spansOf(Buffer.from('!')).offset[0]!;
      sockets[0]!.write('before');
      assert.equal(send(fd, addressOf(arena.memory.buffer) + urgent, 1, MSG_OOB), 1);
      sockets[0]!.write('after');
      await pause(10);
      let text = '';
      while (text.length < 12) {
        await Promise.race([events.wait(1), late()]);
        for (let got = 1; got > 0;) {
          got = stream.peek(0, at + 4096, 100, 100, 1);
          if (got <= 0) break;
          text += Buffer.from(arena.bytes.subarray(at + 4096, at + 4096 + got)).toString();
          events.bits = 0;
          stream.discard(got);
          // As a flow: less than was asked for is all there is, until the next event.
          if (got < 100) break;
        }
      }
      assert.equal(text, 'before!after');
    });

    test('a stream that is reset while bytes are queued is not taken for ended', async () => {
      const { server, port } = await serve((socket) => {
        socket.write('bytes', () => socket.resetAndDestroy());
      });
      const { stream, events } = await open(port);
      await events.wait(4);
      const first = stream.peek(0, at, 1000, 1000, 1);
      const second = first > 0 ? stream.peek(first, at, 1000, 1000, 1) : first;
      assert.equal(second, -ECONNRESET);
      stream.close();
      server.close();
    });

    test('writes go out at once, whether the peer has acknowledged the last one or not', async () => {
      const arrivals: number[] = [];
      const { server, port } = await serve((socket) => socket.on('data', (chunk) => arrivals.push(chunk.length)));
      const { stream } = await open(port);
      const times: number[] = [];
      for (let written = 0; written < 50;) {
        const started = performance.now();
        for (let i = 0; i < 10; i++) written += stream.write(spansOf(Buffer.from('x')));
        while (arrivals.reduce((sum, n) => sum + n, 0) < written) await new Promise((resolve) => setImmediate(resolve));
        times.push(performance.now() - started);
      }
      // Nagle's algorithm would hold back every one of them for 40 ms; a busy machine only some.
      assert.ok(Math.min(...times) < 30, `held back: ${times.join(', ')} ms`);
      stream.close();
      server.close();
    });

    test('reset reaches the peer as a reset', async () => {
      const errors: string[] = [];
      const { server, port } = await serve((socket) => socket.on('error', (error: NodeJS.ErrnoException) => errors.push(error.code!)));
      const { stream } = await open(port);
      const closed = new Promise<void>((resolve) => server.on('connection', (socket: Socket) => socket.on('close', () => resolve())));
      stream.reset();
      await closed;
      assert.deepEqual(errors, ['ECONNRESET']);
      server.close();
    });

    test('a refused connect is reported', async () => {
      const { server, port } = await serve(() => {});
      server.close();
      await once(server, 'close');
      const events = new Events();
      const stream = host.connectStream(LOOPBACK, port, events);
      if (typeof stream === 'number') return assert.equal(stream, -ECONNREFUSED);
      let status = stream.connectStatus();
      while (status === -EINPROGRESS) {
        await events.wait(6);
        status = stream.connectStatus();
      }
      assert.equal(status, -ECONNREFUSED);
      stream.close();
    });

    test('listeners accept, report their port, and say what is wrong when they cannot bind', async () => {
      const accepted: [StreamEndpoint, string][] = [];
      const listener = host.listenStream(LOOPBACK, 0, (endpoint, peer) => void accepted.push([endpoint, peer.toString()]));
      const client = connect(listener.port, '127.0.0.1');
      await once(client, 'connect');
      while (accepted.length === 0) await new Promise((resolve) => setImmediate(resolve));
      assert.equal(accepted[0]![1], '127.0.0.1');
      assert.throws(
        () => host.listenStream(LOOPBACK, listener.port, () => {}),
        (error) => error instanceof SystemError && error.code === 'EADDRINUSE' && error.message.includes(`127.0.0.1:${listener.port}`),
      );
      accepted[0]![0].close();
      listener.close();
      client.destroy();
    });

    test('datagrams keep their boundaries, empty ones too, alone and in batches; the source port is kept', async () => {
      const echo = createSocket('udp4');
      const ports = new Set<number>();
      echo.on('message', (message, peer) => {
        ports.add(peer.port);
        echo.send(message, peer.port, peer.address);
      });
      echo.bind(0, '127.0.0.1');
      await once(echo, 'listening');
      const probe = createSocket('udp4');
      probe.bind(0);
      await once(probe, 'listening');
      const local = probe.address().port;
      probe.close();
      await once(probe, 'close');
      const events = new Events();
      const endpoint = host.openDatagram(LOOPBACK, echo.address().port, local, events) as DatagramEndpoint;
      const datagrams = [Buffer.from('a'), Buffer.alloc(0), Buffer.alloc(9000, 3), Buffer.from('last')];
      assert.equal(endpoint.send(spansOf(...datagrams)), 4);
      const got: number[] = [];
      const lengths = new Int32Array(8);
      while (got.length < 4) {
        await events.wait(1);
        const count = endpoint.receive(at, 65_536, 65_536, 8, lengths);
        for (let i = 0; i < count; i++) got.push(lengths[i]!);
      }
      assert.deepEqual(got, [1, 0, 9000, 4]);
      assert.deepEqual([...ports], [local]);
      assert.equal(endpoint.receive(at, 65_536, 65_536, 1, lengths), -EAGAIN);
      endpoint.close();
      echo.close();
    });

    for (const text of ['127.0.0.1', '::1'])
      test(`each of many pings of ${text} gets its own replies, in order`, { skip: missing('root') }, async () => {
        const pings = Array.from({ length: 50 }, () => {
          const events = new Events();
          const ping = host.openPing(IpAddress.parse(text)!, events);
          assert.ok(typeof ping === 'object', `openPing: ${ping as number}`);
          return { ping, events };
        });
        for (let sequence = 1; sequence <= 3; sequence++) {
          pings.forEach(({ ping }, i) => {
            arena.bytes.fill(i, at, at + 8);
            assert.equal(ping.send(sequence, at, 8), 0);
          });
        }
        for (const [i, { ping, events }] of pings.entries()) {
          for (let sequence = 1; sequence <= 3; sequence++) {
            let got = ping.receive(at, 100);
            while (got === -EAGAIN) {
              await events.wait(1);
              got = ping.receive(at, 100);
            }
            assert.deepEqual([got, ping.sequence, arena.bytes[at]], [8, sequence, i]);
          }
          assert.equal(ping.receive(at, 100), -EAGAIN);
          ping.close();
        }
      });

    test('a datagram to a closed port is refused', async () => {
      const events = new Events();
      const endpoint = host.openDatagram(LOOPBACK, 1, 0, events) as DatagramEndpoint;
      assert.equal(endpoint.send(spansOf(Buffer.from('x'))), 1);
      await events.wait(4);
      assert.equal(endpoint.receive(at, 100, 100, 1, new Int32Array(1)), -ECONNREFUSED);
      endpoint.close();
    });
  });
}
