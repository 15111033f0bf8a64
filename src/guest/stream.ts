/** Opens the stream of frames that gvforwarder's `-url` names (contract §5.2, §13.4). */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { get } from 'node:http';
import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { MSG_DONTWAIT, MSG_PEEK } from '../system/constants.ts';
import { EAGAIN } from '../system/errno.ts';
import { close, recv, write } from '../system/syscalls.ts';
import { check } from '../system/error.ts';
import { addressOf } from '../system/syscalls.ts';
import { adoptSocket } from '../system/node-socket.ts';
import { connectUnix, socketPair } from '../system/unix-stream.ts';
import { connectVsock } from '../system/vsock.ts';
import { VNET_HEADER } from '../packet/vnet-header.ts';
import type { StreamUrl } from './stream-url.ts';

/** Milliseconds that a server has to say what it understands. */
const ASKING = 1000;
/** Bytes of its answer, more than it ever is. */
const ANSWER_LIMIT = 4096;
/** Milliseconds that a server has to say no: one that takes the connection says nothing, and sends frames when there are any. */
const REFUSING = 200;
const LOOKING = 10;
const CONNECT = '/connect';

export interface Stream {
  /** Connected, nonblocking, the caller's to close. */
  readonly fd: number;
  /** Ends the program behind it, if there is one. */
  readonly end: () => void;
}

/** With `vnetHeader` a virtio-net header is asked for. Rejects with SystemError, a program's own error, or the signal's reason. */
export async function openStream(url: StreamUrl, vnetHeader: boolean, signal: AbortSignal): Promise<Stream> {
  if (url.kind === 'stdio') return startProgram(url.program, url.args);
  const fd = await connect(url, signal);
  if (url.path === '') return { fd, end: () => {} };
  try {
    const target = `${url.path}${vnetHeader ? `?vnet_hdr=${VNET_HEADER}` : ''}`;
    // As Go's client writes it.
    const head = Buffer.from(`POST ${target} HTTP/1.1\r\nHost: \r\nUser-Agent: Go-http-client/1.1\r\nContent-Length: 0\r\n\r\n`);
    const bytes = new Uint8Array(new ArrayBuffer(head.length));
    bytes.set(head);
    // The first bytes on a new connection: there is room.
    check(write(fd, addressOf(bytes.buffer as ArrayBuffer), bytes.length), 'write');
    // Who was asked about virtio-net headers has said that it serves this path.
    if (!vnetHeader) await checkTaken(fd, url.path, signal);
  } catch (error) {
    close(fd);
    throw error;
  }
  return { fd, end: () => {} };
}

/** Frames are left where they are. Rejects with the server's words when these are an answer of HTTP, or with the signal's reason. */
async function checkTaken(fd: number, path: string, signal: AbortSignal): Promise<void> {
  const bytes = Buffer.from(new ArrayBuffer(64));
  for (let waited = 0; waited < REFUSING; waited += LOOKING) {
    const got = recv(fd, addressOf(bytes.buffer as ArrayBuffer), bytes.length, MSG_PEEK | MSG_DONTWAIT);
    if (got !== -EAGAIN) {
      const [, status] = /^HTTP\/1\.\d (\d{3})/.exec(bytes.toString('latin1', 0, Math.max(got, 0))) ?? [];
      if (status === undefined) return;
      throw new Error(
        `the server answers with status ${status} for ${path}${status === '404' ? ' (VMs come in through -listen, not -services)' : ''}`,
      );
    }
    await delay(LOOKING, undefined, { signal });
  }
}

async function connect(url: Exclude<StreamUrl, { kind: 'stdio' }>, signal: AbortSignal): Promise<number> {
  return url.kind === 'unix' ? connectUnix(url.file, false) : connectVsock(url.cid, url.port, { signal });
}

/** One connection is both its standard input and its standard output. */
async function startProgram(program: string, args: readonly string[]): Promise<Stream> {
  const { ours, theirs } = socketPair();
  let child: ChildProcess | undefined;
  try {
    child = spawn(program, args, { stdio: [theirs, theirs, 'inherit'] });
    await once(child, 'spawn');
  } catch (error) {
    close(ours);
    throw error;
  } finally {
    close(theirs);
  }
  const started = child;
  started.on('error', () => {});
  return { fd: ours, end: () => void started.kill() };
}

/**
 * Whether the server behind `url` understands virtio-net headers on `/connect`; on a connection of its own, since gvproxy's
 * original takes whatever follows the request there for frames. False where it can't be asked, says no, or says nothing.
 */
export async function takesVnetHeader(url: StreamUrl, signal: AbortSignal): Promise<boolean> {
  if (url.kind === 'stdio' || !url.path.endsWith(CONNECT)) return false;
  const limit = AbortSignal.any([signal, AbortSignal.timeout(ASKING)]);
  let socket: Socket | undefined;
  try {
    const asking = adoptSocket(await connect(url, limit));
    socket = asking;
    const answer = await ask(asking, `${url.path.slice(0, -CONNECT.length)}/v1/connect`, limit);
    const { vnet_hdr: sizes } = JSON.parse(answer) as { vnet_hdr?: unknown };
    return Array.isArray(sizes) && sizes.includes(VNET_HEADER);
  } catch {
    return false;
  } finally {
    socket?.destroy();
  }
}

function ask(socket: Socket, path: string, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = get({ createConnection: () => socket, path, headers: { Host: '' }, signal }, (response) => {
      if (response.statusCode !== 200) return reject(new Error(`status ${response.statusCode}`));
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
        if (text.length > ANSWER_LIMIT) reject(new Error('a long answer'));
      });
      response.on('end', () => resolve(text)).on('error', reject);
    });
    request.on('error', reject);
  });
}
