/** The other end of `/tunnel` (contract §13.3): a program's connection to a guest's port, through the API of a running gvproxy. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { adoptSocket } from '../system/node-socket.ts';
import { parseListenUrl } from '../system/listen-url.ts';
import { connectVsock } from '../system/vsock.ts';
import { isVsockUrl, parseVsockUrl } from '../system/vsock-url.ts';

const ACCEPTED = 'OK';
/** Bytes of an answer that are looked at. */
const LINE = 200;
const WANTED = 'a path, unix:///PATH, tcp://HOST:PORT or vsock://CID:PORT';

/**
 * `place` is where the API is: a path of a unix socket, or a URL. `timeout` in milliseconds, for the API's word; the guest is dialled
 * after that, and one that refuses looks like one that closes at once. Rejects with an Error; then nothing is open.
 */
export async function openTunnel(place: string, ip: string, port: number, timeout: number): Promise<Socket> {
  const signal = AbortSignal.timeout(timeout);
  const socket = await dial(place, signal);
  const query = new URLSearchParams({ ip, port: String(port) }).toString();
  socket.write(`POST /tunnel?${query} HTTP/1.1\r\nHost: \r\nUser-Agent: guestwire\r\nContent-Length: 0\r\n\r\n`);
  try {
    await accepted(socket, signal);
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

async function dial(place: string, signal: AbortSignal): Promise<Socket> {
  if (isVsockUrl(place)) {
    const vsock = parseVsockUrl(place);
    if (vsock.kind === 'vsock' && vsock.cid !== undefined) return adoptSocket(await connectVsock(vsock.cid, vsock.port, { signal }));
    if (vsock.kind === 'directory') return connected(connect(vsock.file), signal);
    throw new TypeError(`can't connect to ${place}: want ${WANTED}`);
  }
  if (!/^[a-z][a-z0-9+.-]*:/i.test(place)) return connected(connect(place), signal);
  const { path, ...tcp } = { host: '', port: 0, ...parseListenUrl(place, WANTED) };
  return connected(path === undefined ? connect(tcp.port, tcp.host === '' ? '127.0.0.1' : tcp.host) : connect(path), signal);
}

async function connected(socket: Socket, signal: AbortSignal): Promise<Socket> {
  try {
    await once(socket, 'connect', { signal });
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

/** Takes the word from the socket, and leaves there what comes behind it. What is no tunnel begins with an HTTP status. */
function accepted(socket: Socket, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    let bytes: Buffer = Buffer.alloc(0);
    const settle = (run: () => void): void => {
      socket.off('readable', read).off('end', refuse).off('error', reject);
      signal.removeEventListener('abort', late);
      run();
    };
    const refuse = (): void => {
      const [line = ''] = bytes.toString('latin1').split(/\r?\n/);
      settle(() => reject(new Error(`handshake failed: ${line === '' ? 'the connection was closed' : line}`)));
    };
    const late = (): void => settle(() => reject(signal.reason as Error));
    // Not `data`: whoever takes over the stream is to find it as if nobody had read from it.
    const read = (): void => {
      bytes = Buffer.concat([bytes, (socket.read() as Buffer | null) ?? Buffer.alloc(0)]);
      const text = bytes.toString('latin1', 0, LINE);
      if (text.startsWith(ACCEPTED)) {
        settle(() => {
          if (bytes.length > ACCEPTED.length) socket.unshift(bytes.subarray(ACCEPTED.length));
          resolve();
        });
      } else if (!ACCEPTED.startsWith(text) && (text.includes('\n') || text.length === LINE)) refuse();
    };
    socket.on('readable', read).on('end', refuse).on('error', reject);
    signal.addEventListener('abort', late);
  });
}
