/** A VM's end of each kind of link, for tests that have the frames. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { framePipe, type FramePipe } from './frame-pipe.ts';
import { delay, ROOT, Running, until } from './process.ts';

/** The UUID whose MAC address gvproxy knows without a configuration. */
export const KNOWN_UUID = 'c3d68012-0208-11ea-9fd7-f2189899ab08';

export interface MessageClient {
  readonly process: Running;
  readonly pipe: FramePipe;
}

/** A client of message-client.py, attached. */
export async function startMessageClient(kind: string, socket: string): Promise<MessageClient> {
  const client = new Running('python3', [join(ROOT, 'test/guest/message-client.py'), kind, socket], { binary: true });
  await until(() => client.output.includes('ready') || client.child.exitCode !== null, `the client:\n${client.output}`);
  assert.equal(client.child.exitCode, null, client.output);
  return { process: client, pipe: framePipe(client.child.stdout!, client.child.stdin!, 'qemu') };
}

/** A connection to a listener whose socket file is there, even if nobody listens on it yet. */
async function reach(path: string): Promise<Socket> {
  for (;;) {
    const socket = connect(path);
    const error = await new Promise<Error | null>((resolve) => {
      socket.once('connect', () => resolve(null));
      socket.on('error', resolve);
    });
    if (error === null) return socket;
    await delay(5);
  }
}

export interface StreamClient {
  readonly socket: Socket;
  readonly pipe: FramePipe;
}

/** As QEMU attaches with `-netdev stream`. */
export async function attachQemu(path: string): Promise<StreamClient> {
  const socket = await reach(path);
  return { socket, pipe: framePipe(socket, socket, 'qemu') };
}

/** As HyperKit attaches. `answer`: what it is told of MTU and MAC address. */
export async function attachHyperkit(path: string, uuid: string): Promise<StreamClient & { readonly answer: Buffer }> {
  const socket = await reach(path);
  const hello = Buffer.alloc(49, 7);
  hello.write('VMN3T');
  socket.write(hello);
  assert.deepEqual(await read(socket, 49), hello);
  const command = Buffer.alloc(41);
  command[0] = 1;
  command.write(uuid, 1, 'ascii');
  socket.write(command);
  const answer = await read(socket, 258);
  return { socket, pipe: framePipe(socket, socket, 'vpnkit'), answer };
}

async function read(socket: Socket, length: number): Promise<Buffer> {
  for (;;) {
    const bytes = socket.read(length) as Buffer | null;
    if (bytes !== null) return bytes;
    await once(socket, 'readable');
  }
}
