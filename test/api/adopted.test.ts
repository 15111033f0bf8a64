/** The API on a listener of a family that Node does not know: here a unix socket that Node has by its descriptor only, as it has vsock. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { ApiServer } from '../../src/api/server.ts';
import { nameOf } from '../../src/api/listen.ts';
import { adoptListener } from '../../src/system/node-socket.ts';
import { listenUnix } from '../../src/system/unix-listener.ts';
import { temporaryFolder, until } from '../guest/process.ts';
import { type Bench, bench, collect, parseAnswer, requestText } from './fixture.ts';

const ARP_REQUEST = '2a00ffffffffffff5a94ef000001080600010800060400015a94ef000001c0a87f09000000000000c0a87f01';
const ARP_REPLY = '2a005a94ef0000015a94efe40cdd080600010800060400025a94efe40cddc0a87f015a94ef000001c0a87f09';

/** The fixture's network, whose API is served a second time. */
async function adopted(t: TestContext): Promise<Bench & { dialAdopted: () => Promise<Socket>; failed: string[] }> {
  const world = await bench(t);
  const failed: string[] = [];
  const api = new ApiServer({
    network: world.network,
    forwards: world.forwards,
    failed: (text) => void failed.push(text),
    rules: { reachable: false, name: undefined, token: undefined, origin: 'listen' },
    guests: 'full',
    debug: false,
    v1: undefined,
    limit: 8,
  });
  const server = createServer({ allowHalfOpen: true }, (socket) => api.accept(socket, undefined, nameOf(socket)));
  const path = join(temporaryFolder(), 'adopted');
  await adoptListener(listenUnix(path, 16).fd, server);
  t.after(() => {
    server.close();
    api.close();
  });
  const dialAdopted = async (): Promise<Socket> => {
    const socket = connect({ path, allowHalfOpen: true });
    await once(socket, 'connect');
    return socket;
  };
  return { ...world, dialAdopted, failed };
}

test('§6.4: frames that come in one packet with the head of /connect reach the gateway, and its answer comes back', async (t) => {
  const { network, dialAdopted } = await adopted(t);
  const socket = await dialAdopted();
  socket.write(
    Buffer.concat([
      Buffer.from('POST /connect HTTP/1.1\r\nHost: \r\nContent-Length: 0\r\n\r\n'),
      Buffer.from(ARP_REQUEST.repeat(2), 'hex'),
    ]),
  );
  const reply = await collect(socket, /[^]{88}/);
  assert.equal(Buffer.from(reply, 'latin1').toString('hex'), ARP_REPLY.repeat(2));
  await until(() => network.portCount === 1, 'the VM to go');
});

test('§13.3: a tunnel carries megabytes, and each direction ends on its own', async (t) => {
  const { listen, dialAdopted } = await adopted(t);
  listen(22, (socket) => socket.pipe(socket));
  const socket = await dialAdopted();
  const size = 4 << 20;
  socket.write('POST /tunnel?ip=192.168.127.2&port=22 HTTP/1.1\r\nHost: \r\nContent-Length: 0\r\n\r\n');
  socket.end(Buffer.alloc(size, 'guestwire'));
  const back = await collect(socket);
  assert.equal(back.length, size + 2);
  assert.ok(back === `OK${Buffer.alloc(size, 'guestwire').toString()}`);
});

test('§13.2: requests follow each other on one connection, and bodies may be chunked', async (t) => {
  const { dialAdopted, forwards, failed } = await adopted(t);
  const socket = await dialAdopted();
  const body = '{"local":":8080","remote":"192.168.127.2:80"}';
  socket.write(
    `POST /services/forwarder/expose HTTP/1.1\r\nHost: \r\nTransfer-Encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`,
  );
  await until(() => forwards.specs.length === 1, 'the forward');
  socket.write(requestText('GET', '/services/forwarder/all', '', { Host: 'unix' }));
  const answers = await collect(socket);
  assert.equal(
    parseAnswer(answers.slice(answers.lastIndexOf('HTTP/1.1'))).body,
    '[{"local":":8080","remote":"192.168.127.2:80","protocol":"tcp"}]\n',
  );
  assert.deepEqual(failed, []);
});

test('beyond its limit of connections it says so', async (t) => {
  const { dialAdopted } = await adopted(t);
  const held = await Promise.all(Array.from({ length: 8 }, () => dialAdopted()));
  const ninth = await dialAdopted();
  assert.equal(parseAnswer(await collect(ninth)).status, 503);
  for (const socket of held) socket.destroy();
});
