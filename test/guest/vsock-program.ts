/**
 * Runs in a guest, beside a gvproxy that serves `-listen vsock://:PORT` and `-services` on the next port, over vsock_loopback: asks
 * it for what any client may, and prints what came of it as JSON. Usage: vsock-program.js PORT
 */
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { text } from 'node:stream/consumers';
import { adoptSocket, descriptorOf } from '../../src/system/node-socket.ts';
import type { SystemError } from '../../src/system/error.ts';
import { connectVsock, localCid, vsockName, vsockPeer } from '../../src/system/vsock.ts';
import { SoftGuest } from '../../src/testing/index.ts';

/** VMADDR_CID_LOCAL */
const LOCAL = 1;
const LISTEN = Number(process.argv[2]);
const SERVICES = LISTEN + 1;
const SIZE = 512 << 10;
const MAC = '5a:94:ef:00:00:77';

export interface VsockReport {
  readonly localCid: number;
  readonly peer: string;
  /** Statuses of two requests on one connection, and of `/connect` on `-services`. */
  readonly statuses: readonly number[];
  readonly sameConnection: boolean;
  readonly lease: string;
  /** Names of the VMs that are attached. */
  readonly ports: readonly string[];
  /** Bytes that came back unchanged through `/connect`, and through a tunnel. */
  readonly echoed: number;
  readonly tunnelled: number;
  readonly events: string;
  readonly refused: string;
}

async function dial(port: number): Promise<Socket> {
  return adoptSocket(await connectVsock(LOCAL, port));
}

function head(target: string): string {
  return `POST ${target} HTTP/1.1\r\nHost: \r\nContent-Length: 0\r\n\r\n`;
}

/** Both at once, on one agent's connections. */
function client(port: number): (path: string) => Promise<IncomingMessage> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  agent.createConnection = (_options, created) => {
    dial(port).then(
      (socket) => created?.(null, socket),
      (error: Error) => created?.(error, undefined as unknown as Duplex),
    );
    return undefined;
  };
  return async (path) => {
    const asked = request({ agent, path, headers: { host: 'vsock' } }).end();
    const [response] = (await once(asked, 'response')) as [IncomingMessage];
    return response;
  };
}

/** A soft guest behind `/connect`, with frames as gvforwarder has them. */
async function plug(): Promise<{ guest: SoftGuest; socket: Socket }> {
  const socket = await dial(LISTEN);
  socket.write(head('/connect'));
  const guest = new SoftGuest({
    mac: MAC,
    wire: {
      send: (frame) => {
        const bytes = Buffer.alloc(2 + frame.length);
        bytes.writeUInt16LE(frame.length);
        bytes.set(frame, 2);
        return socket.write(bytes) || true;
      },
    },
    scheduler: {
      now: () => performance.now(),
      after: (ms, run) => {
        const timer = setTimeout(run, ms);
        return () => clearTimeout(timer);
      },
    },
  });
  let pending: Buffer = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    pending = Buffer.concat([pending, chunk]);
    while (pending.length >= 2 && pending.length >= 2 + pending.readUInt16LE(0)) {
      const length = pending.readUInt16LE(0);
      guest.receive(pending.subarray(2, 2 + length), 0, length);
      pending = pending.subarray(2 + length);
    }
  });
  return { guest, socket };
}

/** Sends `data`, ends, and counts what comes back if it is the same. */
async function echo(stream: Duplex, data: Buffer): Promise<number> {
  const hash = createHash('sha256');
  let count = 0;
  stream.on('data', (chunk: Buffer) => {
    hash.update(chunk);
    count += chunk.length;
  });
  stream.end(data);
  await once(stream, 'end');
  return hash.digest('hex') === createHash('sha256').update(data).digest('hex') ? count : -1;
}

async function whyRefused(): Promise<string> {
  try {
    await connectVsock(LOCAL, 9);
    return 'connected';
  } catch (error) {
    return (error as SystemError).message;
  }
}

async function run(): Promise<VsockReport> {
  const ask = client(LISTEN);
  const first = await ask('/services/forwarder/all');
  const connection = first.socket;
  const peer = vsockName(vsockPeer(descriptorOf(first.socket))!);
  await text(first);
  const second = await ask('/leases');
  const sameConnection = second.socket === connection;
  await text(second);
  const other = await client(SERVICES)('/connect');
  await text(other);

  const events = await client(LISTEN)('/v1/events');
  const { guest, socket } = await plug();
  const lease = await guest.dhcp();
  let told = '';
  for await (const chunk of events) {
    told += String(chunk);
    if (told.includes('"type":"lease"') || told.includes('event: lease')) break;
  }
  const { ports } = JSON.parse(await text(await ask('/v1/ports'))) as { ports: { name: string }[] };
  const server = createServer({ allowHalfOpen: true }, (accepted) => accepted.pipe(accepted)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const data = randomBytes(SIZE);
  const echoed = await echo(await guest.connect('192.168.127.254', (server.address() as AddressInfo).port), data);

  guest.listen(22, (accepted) => accepted.pipe(accepted));
  const tunnel = await dial(SERVICES);
  tunnel.write(head(`/tunnel?ip=${lease.address}&port=22`));
  const [ok] = (await once(tunnel, 'data')) as [Buffer];
  const tunnelled = ok.toString() === 'OK' ? await echo(tunnel, data) : -1;
  socket.destroy();
  return {
    localCid: localCid(),
    peer,
    statuses: [first.statusCode!, second.statusCode!, other.statusCode!],
    sameConnection,
    lease: lease.address,
    ports: ports.map(({ name }) => name),
    echoed,
    tunnelled,
    events: told,
    refused: await whyRefused(),
  };
}

const report = await run();
console.log(JSON.stringify(report));
process.exit();
