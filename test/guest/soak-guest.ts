/**
 * The traffic of one guest in a soak, run inside its namespace: soak-guest.js PLACES, as JSON (SoakPlace[]): each time
 * it goes to one of them. Ends what it has begun when its input ends, and prints what it did as one line of JSON.
 *
 * Rates are bounded: a soak is about hours of everything at once, not about speed.
 */
import { createHash } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { Resolver } from 'node:dns/promises';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { pattern, sourceHash, type SoakPlace, type SoakPorts } from './soak-hosts.ts';
import type { SoakCounts } from './soak.ts';

const BULK = 2_000_000;
const BLOB = pattern(12_345, BULK);
const BLOB_HASH = createHash('sha256').update(BLOB).digest('hex');
/** Connections that are held open, and used now and then. */
const IDLE = 150;
const FORWARDED_PORT = 22;

const places = JSON.parse(process.argv[2]!) as SoakPlace[];
const counts: SoakCounts = {
  bytesUp: 0,
  bytesDown: 0,
  roundTrips: 0,
  connections: 0,
  overIpv6: 0,
  datagrams: 0,
  datagramsLost: 0,
  queries: 0,
  aborted: 0,
  slow: 0,
  idleRoundTrips: 0,
  failures: [],
};
const ending = new AbortController();
process.stdin.resume();
process.stdin.on('end', () => ending.abort());

function somewhere(): SoakPlace {
  return places[Math.floor(Math.random() * places.length)]!;
}

async function open(server: keyof SoakPorts): Promise<Socket> {
  const { host, ports, version } = somewhere();
  const socket = connect({ host, port: ports[server], allowHalfOpen: true });
  await once(socket, 'connect');
  if (version === 6) counts.overIpv6++;
  socket.on('error', () => {});
  socket.setNoDelay(true);
  return socket;
}

async function readAll(socket: Socket, chunkPause = 0): Promise<{ hash: string; length: number; text: string }> {
  const hash = createHash('sha256');
  let length = 0;
  let text = '';
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    const bytes = chunk as Buffer;
    hash.update(bytes);
    length += bytes.length;
    if (text.length < 100) text += bytes.toString('latin1');
    if (chunkPause > 0) await pause(chunkPause);
  }
  return { hash: hash.digest('hex'), length, text };
}

/** However it ends: whoever expects an orderly end has seen it. */
async function closed(socket: Socket): Promise<void> {
  if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve));
}

/** Again and again, `interval` milliseconds apart, until the end; what goes wrong is noted. */
async function forever(name: string, interval: number, run: () => Promise<void>): Promise<void> {
  while (!ending.signal.aborted) {
    try {
      await run();
    } catch (error) {
      counts.failures.push(`${name}: ${(error as Error).message}`);
    }
    await pause(interval * (0.5 + Math.random()));
  }
}

async function upload(server: 'hash' | 'slowHash'): Promise<void> {
  const socket = await open(server);
  socket.end(BLOB);
  const { text } = await readAll(socket);
  if (text.trim() !== BLOB_HASH) throw new Error(`the host got something else: ${text.trim() || 'nothing'}`);
  counts.bytesUp += BULK;
  await closed(socket);
}

async function download(chunkPause = 0): Promise<void> {
  const socket = await open('source');
  const wanted = chunkPause > 0 ? BULK : Math.floor(Math.random() * 2 * BULK);
  socket.write(`${wanted}\n`);
  const { hash, length } = await readAll(socket, chunkPause);
  if (length !== wanted) throw new Error(`${length} of ${wanted} bytes`);
  if (hash !== sourceHash(wanted)) throw new Error('other bytes than were sent');
  counts.bytesDown += wanted;
  socket.end();
  await closed(socket);
}

/** One byte there and back. */
async function roundTrip(socket: Socket): Promise<void> {
  const answer = once(socket, 'data', { signal: AbortSignal.timeout(20_000) });
  socket.write('x');
  const [chunk] = (await answer) as [Buffer];
  if (chunk.toString() !== 'x') throw new Error(`a wrong echo: ${chunk.toString('hex')}`);
}

async function roundTrips(): Promise<void> {
  const socket = await open('echo');
  for (let i = 0; i < 200 && !ending.signal.aborted; i++) {
    await roundTrip(socket);
    counts.roundTrips++;
    await pause(5);
  }
  socket.end();
  socket.resume();
  await closed(socket);
}

async function connectOnce(): Promise<void> {
  const socket = await open('echo');
  await roundTrip(socket);
  socket.end();
  socket.resume();
  await closed(socket);
  counts.connections++;
}

/** Both sides reset, in the middle of data and at once; and a host that resets. */
async function abort(): Promise<void> {
  const sending = await open('hash');
  sending.write(BLOB.subarray(0, Math.floor(Math.random() * 300_000)));
  if (Math.random() < 0.5) await pause(10);
  sending.resetAndDestroy();
  const receiving = await open('source');
  receiving.write(`${BULK}\n`);
  await once(receiving, 'data');
  receiving.resetAndDestroy();
  const reset = await open('reset');
  reset.write(BLOB.subarray(0, 100_000));
  reset.resume();
  await closed(reset);
  counts.aborted += 3;
}

async function datagrams(): Promise<void> {
  const { host, ports, version } = somewhere();
  const socket = createSocket(version === 6 ? 'udp6' : 'udp4');
  const waiting = { answers: 0 };
  socket.on('message', (message) => {
    if (!message.equals(BLOB.subarray(0, message.length))) counts.failures.push(`a datagram of ${message.length} other bytes`);
    waiting.answers--;
  });
  for (let i = 0; i < 40; i++) {
    socket.send(BLOB.subarray(0, Math.floor(Math.random() ** 3 * 9000)), ports.datagramEcho, host);
    waiting.answers++;
    counts.datagrams++;
    await pause(10);
  }
  // On a busy machine late is not lost.
  for (let i = 0; i < 50 && waiting.answers > 0; i++) await pause(100);
  counts.datagramsLost += waiting.answers;
  socket.close();
}

async function resolve(): Promise<void> {
  const resolver = new Resolver({ timeout: 3000, tries: 2 });
  const { gateway, host, version } = somewhere();
  resolver.setServers([version === 6 ? `[${gateway}]` : gateway]);
  const name = 'host.containers.internal';
  const addresses = await (version === 6 ? resolver.resolve6(name) : resolver.resolve4(name));
  if (addresses[0] !== host) throw new Error(`resolved to ${addresses.join()}`);
  counts.queries++;
}

async function idle(): Promise<void> {
  const sockets: Socket[] = [];
  for (let i = 0; i < IDLE && !ending.signal.aborted; i++) {
    sockets.push(await open('echo'));
    await pause(10);
  }
  for (let i = 0; i < 20 && !ending.signal.aborted; i++) await pause(500);
  for (const socket of sockets) {
    await roundTrip(socket);
    counts.idleRoundTrips++;
    socket.end();
    socket.resume();
  }
  await Promise.all(sockets.map(closed));
}

const server = createServer({ allowHalfOpen: true }, (socket) => {
  socket.on('error', () => socket.destroy());
  socket.pipe(socket);
});
server.listen(FORWARDED_PORT);
await once(server, 'listening');
console.log('ready');
await Promise.all([
  forever('upload', 400, () => upload('hash')),
  forever('download', 400, () => download()),
  forever('round trips', 10, roundTrips),
  forever('connect', 20, connectOnce),
  forever('abort', 200, abort),
  forever('datagrams', 100, datagrams),
  forever('resolve', 200, resolve),
  forever('slow host', 2000, async () => {
    await upload('slowHash');
    counts.slow++;
  }),
  forever('slow guest', 2000, async () => {
    await download(20);
    counts.slow++;
  }),
  forever('idle', 500, idle),
]);
server.close();
console.log(JSON.stringify(counts));
process.exit(0);
