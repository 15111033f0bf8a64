/**
 * `npm run demo`: a soft guest on a real virtual network, no root and no virtual machine. Ends with 0 only if every step held.
 */
import { createServer } from 'node:http';
import { connect, createServer as createTcpServer, type AddressInfo, type Server } from 'node:net';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { DEVICE_MAC } from '../config/defaults.ts';
import { VirtualNetwork } from '../network.ts';
import { attachGuest } from './attach.ts';
import type { SoftSocket } from './soft-tcp.ts';

const GIGABYTE = 1_000_000_000;
const CHUNK = 1 << 16;
/** What bulk data looks like: position-dependent, so that a byte lost, doubled or moved shows. */
const PATTERN = Buffer.from(Array.from({ length: CHUNK + 251 }, (_, i) => i % 251));

let failures = 0;

async function step(name: string, run: () => Promise<string>): Promise<void> {
  const started = performance.now();
  try {
    const detail = await run();
    console.log(`  ok    ${name}: ${detail} (${Math.round(performance.now() - started)} ms)`);
  } catch (error) {
    failures++;
    console.log(`  FAIL  ${name}: ${(error as Error).message}`);
  }
}

function progress(name: string, done: number): void {
  if (!process.stdout.isTTY) return;
  const filled = Math.round((done / GIGABYTE) * 30);
  process.stdout.write(
    `\r        ${name} [${'#'.repeat(filled)}${'.'.repeat(30 - filled)}] ${Math.round((done / GIGABYTE) * 100)} %\u001b[K`,
  );
  if (done >= GIGABYTE) process.stdout.write('\r\u001b[K');
}

/** Sends GIGABYTE patterned bytes and ends the stream. */
async function send(stream: NodeJS.WritableStream, name?: string): Promise<void> {
  for (let sent = 0; sent < GIGABYTE; sent += CHUNK) {
    const offset = sent % 251;
    const length = Math.min(CHUNK, GIGABYTE - sent);
    if (!stream.write(PATTERN.subarray(offset, offset + length))) await once(stream, 'drain');
    if (name !== undefined && (sent / CHUNK) % 256 === 0) progress(name, sent);
  }
  stream.end();
}

/** All of a stream's chunks; it can still be written to afterwards. */
function wholly(stream: Readable): AsyncIterable<unknown> {
  return stream.iterator({ destroyOnReturn: false });
}

/** Reads to the end and compares every byte. */
async function verify(stream: Readable, name?: string): Promise<number> {
  let total = 0;
  for await (const chunk of wholly(stream)) {
    const bytes = chunk as Buffer;
    for (let at = 0; at < bytes.length; at += CHUNK) {
      const piece = bytes.subarray(at, at + CHUNK);
      const offset = (total + at) % 251;
      if (piece.compare(PATTERN, offset, offset + piece.length) !== 0) throw new Error(`wrong byte after ${total + at}`);
    }
    total += bytes.length;
    if (name !== undefined) progress(name, total);
  }
  if (total !== GIGABYTE) throw new Error(`${total} bytes instead of ${GIGABYTE}`);
  return total;
}

async function listening(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

function rate(started: number): string {
  return `1 GB at ${((GIGABYTE * 8) / 1e6 / (performance.now() - started)).toFixed(1)} Gbit/s, every byte compared`;
}

async function text(stream: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of wholly(stream)) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

const network = await VirtualNetwork.create({ mtu: 65_520 });
const { addresses } = network;
const { guest, port } = attachGuest(network, DEVICE_MAC);
console.log('guestwire: a soft guest on a virtual network of this process\n');

await step('takes a lease by DHCP', async () => {
  const lease = await guest.dhcp();
  if (lease.address !== addresses.deviceIP) throw new Error(`got ${lease.address}`);
  return `${lease.address}, router ${lease.router}, MTU ${lease.mtu}`;
});
await step('pings the gateway', async () => `${(await guest.ping(addresses.gatewayIP)).toFixed(2)} ms`);
await step('resolves host.containers.internal', async () => {
  const [address] = await guest.resolve('host.containers.internal');
  if (address !== addresses.hostIP) throw new Error(`got ${address}`);
  return address;
});

const page = createServer((_request, response) => response.end('hello from the host'));
const pagePort = await listening(page);
await step('fetches a page from an HTTP server of the host', async () => {
  const socket = await guest.connect(addresses.hostIP, pagePort);
  socket.write('GET / HTTP/1.1\r\nHost: host\r\nConnection: close\r\n\r\n');
  const answer = await text(socket);
  socket.end();
  if (!answer.startsWith('HTTP/1.1 200') || !answer.includes('hello from the host')) throw new Error(answer.slice(0, 80));
  return 'HTTP 200';
});
page.close();

await step('is refused where nobody listens', async () => {
  const error = await guest.connect(addresses.hostIP, 1).then(
    () => undefined,
    (reason: Error) => reason,
  );
  if (error === undefined) throw new Error('the connection was accepted');
  return 'at once';
});

guest.listen(80, (socket: SoftSocket) => {
  socket.resume();
  socket.end('hello from the guest');
});
await step('is reached through a forwarded port', async () => {
  const forward = network.forward('127.0.0.1:0', `${addresses.deviceIP}:80`);
  const socket = connect(forward.port, '127.0.0.1');
  socket.end();
  const answer = await text(socket);
  forward.close();
  if (answer !== 'hello from the guest') throw new Error(JSON.stringify(answer));
  return `127.0.0.1:${forward.port}`;
});

await step('uploads 1 GB', async () => {
  let received: Promise<number> | undefined;
  const server = createTcpServer({ allowHalfOpen: true }, (socket) => {
    received = verify(socket);
    received.then(
      () => socket.end('ok'),
      () => socket.destroy(),
    );
  });
  const serverPort = await listening(server);
  const started = performance.now();
  const socket = await guest.connect(addresses.hostIP, serverPort);
  const [answer] = await Promise.all([text(socket), send(socket, 'upload')]);
  await received;
  progress('upload', GIGABYTE);
  server.close();
  if (answer !== 'ok') throw new Error('the server did not confirm');
  return rate(started);
});

await step('downloads 1 GB', async () => {
  const server = createTcpServer((socket) => {
    socket.resume();
    socket.on('error', () => socket.destroy());
    void send(socket);
  });
  const serverPort = await listening(server);
  const started = performance.now();
  const socket = await guest.connect(addresses.hostIP, serverPort);
  await verify(socket, 'download');
  socket.end();
  server.close();
  return rate(started);
});

await step('every frame the guest got was well-formed', async () => {
  if (guest.errors.length > 0) throw new Error(guest.errors.slice(0, 5).join('; '));
  return `${port.counters.txFrames} frames`;
});
await network.close();

console.log(`
${failures === 0 ? 'Everything held.' : `${failures} steps failed.`} With a virtual machine:

  bin/gvproxy -listen-qemu unix:///tmp/vm.sock
  qemu-system-x86_64 ... -netdev stream,id=n0,server=off,addr.type=unix,addr.path=/tmp/vm.sock \\
                         -device virtio-net-pci,netdev=n0,mac=${DEVICE_MAC}
`);
process.exit(failures === 0 ? 0 : 1);
