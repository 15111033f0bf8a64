import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { test, type TestContext } from 'node:test';
import type { ServerChannel } from 'ssh2';
import { ChannelRefused, CredentialError, SshConnection } from '../../src/ssh/connection.ts';
import type { SshTarget } from '../../src/ssh/target.ts';
import {
  CLIENT_KEY,
  dialTo,
  ecdsaKeys,
  HOST_KEY,
  RecordedLog,
  rsaKeys,
  SshServer,
  targetOf,
  temporaryFolder,
  type ServerOptions,
} from './server.ts';

const RSA_HOST_KEY = rsaKeys();

interface Setting {
  readonly server?: ServerOptions;
  readonly target?: Partial<SshTarget>;
  /** Lines of known_hosts. */
  readonly known?: readonly string[];
}

async function connected(t: TestContext, { server: options = {}, target = {}, known }: Setting) {
  const folder = temporaryFolder(t);
  const identity = join(folder, 'identity');
  const knownHosts = join(folder, 'known_hosts');
  writeFileSync(identity, CLIENT_KEY.private);
  if (known !== undefined) writeFileSync(knownHosts, known.join('\n'));
  const server = await SshServer.start(t, options);
  const log = new RecordedLog();
  const dial = dialTo(() => server.port);
  const establish = async (): Promise<SshConnection> => {
    const connection = await SshConnection.establish(
      { target: targetOf({ identity, ...target }), dial, log, knownHosts },
      AbortSignal.timeout(20_000),
    );
    t.after(() => connection.destroy());
    return connection;
  };
  return { server, log, establish, identity, knownHosts };
}

test('§14.6: the client says it is SSH-2.0-Go', async (t) => {
  const { server, establish } = await connected(t, {});
  await establish();
  assert.deepEqual(server.idents, ['SSH-2.0-Go']);
});

test('§14.6: a password in the URL is tried when the key is not taken', async (t) => {
  const { server, establish } = await connected(t, { server: { keys: [], password: 'secret' }, target: { password: 'secret' } });
  await establish();
  assert.equal(server.logins, 1);
});

test('a key that the guest refuses is told with user and file, in the words of Go', async (t) => {
  const { establish, identity } = await connected(t, { server: { keys: [] } });
  await assert.rejects(establish(), (error: Error) => {
    assert.ok(error instanceof CredentialError);
    const text = 'ssh: handshake failed: ssh: unable to authenticate, attempted methods [none publickey], no supported methods remain';
    assert.equal(error.message, `${text} (user core, key ${identity})`);
    return true;
  });
});

test('§14.6: without secure=true any host key will do', async (t) => {
  const other = ecdsaKeys().public;
  const { establish, log } = await connected(t, { known: [`192.168.127.2 ${other}`] });
  await establish();
  assert.deepEqual(log.spoken, []);
});

test('§14.6: with secure=true the host must show the key of known_hosts', async (t) => {
  const { establish } = await connected(t, { target: { secure: true }, known: [`192.168.127.2 ${HOST_KEY.public}`] });
  await establish();
  const other = ecdsaKeys().public;
  const { establish: refused } = await connected(t, { target: { secure: true }, known: [`192.168.127.2 ${other}`] });
  await assert.rejects(refused(), (error: Error) => {
    assert.ok(error instanceof CredentialError);
    assert.equal(error.message, 'ssh: handshake failed: ssh: host key mismatch');
    return true;
  });
});

test('a server with several host keys is asked for the one that known_hosts has', async (t) => {
  const server = { hostKeys: [RSA_HOST_KEY.private, HOST_KEY.private] };
  const { establish } = await connected(t, { server, target: { secure: true }, known: [`192.168.127.2 ${HOST_KEY.public}`] });
  await establish();
});

test('an RSA host key is taken, also when it is pinned', async (t) => {
  const known = [`192.168.127.2 ${RSA_HOST_KEY.public}`];
  const { establish } = await connected(t, { server: { hostKeys: [RSA_HOST_KEY.private] }, target: { secure: true }, known });
  await establish();
});

test('a revoked host key is refused, even where no other is known', async (t) => {
  const { establish } = await connected(t, { target: { secure: true }, known: [`@revoked * ${HOST_KEY.public}`] });
  await assert.rejects(establish(), /^Error: ssh: handshake failed: the host key is revoked$/);
});

test('§14.6: with secure=true and no entry the host key is not verified, which is said', async (t) => {
  const { establish, log, knownHosts } = await connected(t, { target: { secure: true } });
  await establish();
  assert.deepEqual(log.spoken, [`warning ${knownHosts} has no key of 192.168.127.2 port 22: its host key is not verified`]);
});

test('a server that hangs up, talks nonsense or goes away is an error, not a crash', async (t) => {
  for (const greeting of ['', 'HTTP/1.1 400 Bad Request\r\n\r\n', 'SSH-2.0-x\r\n'.padEnd(500, '\xff'), 'SSH-1.5-old\r\n']) {
    const server = createServer((socket) => socket.on('error', () => {}).end(greeting, 'latin1'));
    server.listen(0, '127.0.0.1');
    t.after(() => server.close());
    await once(server, 'listening');
    const identity = join(temporaryFolder(t), 'identity');
    writeFileSync(identity, CLIENT_KEY.private);
    const dial = dialTo(() => (server.address() as AddressInfo).port);
    const options = { target: targetOf({ identity }), dial, log: new RecordedLog(), knownHosts: '/nonexistent' };
    await assert.rejects(SshConnection.establish(options, AbortSignal.timeout(10_000)), /^Error: ssh: handshake failed: /);
  }
});

test('a server that never answers is left when the forward is closed', async (t) => {
  const server = createServer((socket) => socket.on('error', () => {}).resume());
  server.listen(0, '127.0.0.1');
  t.after(() => server.close());
  await once(server, 'listening');
  const accepted = once(server, 'connection');
  const identity = join(temporaryFolder(t), 'identity');
  writeFileSync(identity, CLIENT_KEY.private);
  const dial = dialTo(() => (server.address() as AddressInfo).port);
  const closing = new AbortController();
  const options = { target: targetOf({ identity }), dial, log: new RecordedLog(), knownHosts: '/nonexistent' };
  const establishing = SshConnection.establish(options, closing.signal);
  const [socket] = await accepted;
  closing.abort();
  await assert.rejects(establishing);
  await once(socket, 'close');
});

test('a channel that the server refuses leaves the connection as it is', async (t) => {
  const { establish } = await connected(t, { server: { onOpen: (_accept, reject) => reject() } });
  const connection = await establish();
  await assert.rejects(connection.open('/run/none.sock'), (error: Error) => {
    assert.ok(error instanceof ChannelRefused);
    assert.match(error.message, /^ssh: rejected: connect failed \(.*\)$/);
    return true;
  });
  assert.equal(connection.ended, false);
});

/** Whatever this server is asked for, it does not answer. */
const SILENT: ServerOptions = { onOpen: () => {} };

test('§14.6: a server that lives is given time to open a channel, and a dead one is left', async (t) => {
  const { establish, server } = await connected(t, { server: SILENT });
  const connection = await establish();
  // ssh2's server looks at a global request only when somebody listens for one.
  server.connections[0]!.on('request', () => {});
  const asked = (): boolean => (server.connections[0] as unknown as { noMoreSessions: boolean }).noMoreSessions;
  t.mock.timers.enable({ apis: ['setTimeout', 'setInterval'] });
  const opening = connection.open('/x');
  const settled = opening.then(
    () => 'opened',
    () => 'failed',
  );
  let state = '';
  void settled.then((result) => (state = result));
  t.mock.timers.tick(5000);
  for (let n = 0; n < 100_000 && !asked(); n++) await turn();
  for (let n = 0; n < 50; n++) await turn();
  assert.equal(state, '');
  assert.equal(connection.ended, false);
  assert.equal(asked(), true);
  // From now on the server reads nothing: nobody answers.
  server.sockets[0]!.pause();
  t.mock.timers.tick(5000);
  for (let n = 0; n < 50; n++) await turn();
  assert.equal(state, '');
  t.mock.timers.tick(4500);
  assert.equal(await settled, 'failed');
  assert.equal(connection.ended, true);
});

test('a channel that the server opens too late is closed again', async (t) => {
  const requests: (() => ServerChannel)[] = [];
  const { establish } = await connected(t, { server: { onOpen: (accept) => requests.push(accept) } });
  const connection = await establish();
  t.mock.timers.enable({ apis: ['setTimeout', 'setInterval'] });
  const opening = assert.rejects(connection.open('/x'), /no answer within 30 s/);
  for (let n = 0; n < 100_000 && requests.length === 0; n++) await turn();
  t.mock.timers.tick(30_000);
  await opening;
  t.mock.timers.reset();
  const channel = requests[0]!();
  await once(channel.resume(), 'close');
});

test('a server that sends more than its window ends the connection, not the process', async (t) => {
  const { establish } = await connected(t, {
    server: {
      onChannel: (channel) => {
        // As if we had granted 4 GiB.
        (channel as unknown as { outgoing: { window: number } }).outgoing.window = 2 ** 32;
        // Packets that do not fill the window exactly: of what follows that, ssh2 takes nothing.
        for (let n = 0; n < 700; n++) channel.write(Buffer.alloc(30_000));
      },
    },
  });
  const connection = await establish();
  const channel = await connection.open('/x');
  channel.pause();
  for (let n = 0; n < 100_000 && !connection.ended; n++) await turn();
  assert.equal(connection.ended, true);
  assert.ok(channel.readableLength < 8 << 20, `${channel.readableLength} bytes`);
});

test('what a server writes to the error stream of a channel does not pile up', async (t) => {
  const { establish } = await connected(t, {
    server: {
      onChannel: (channel) => {
        for (let n = 0; n < 16; n++) channel.stderr.write(Buffer.alloc(1 << 20));
        channel.stderr.once('drain', () => channel.write('done'));
      },
    },
  });
  const connection = await establish();
  const channel = await connection.open('/x');
  await once(channel, 'data');
  assert.equal(channel.stderr.readableLength, 0);
});

test('a server that asks and does not read the answers ends the connection', async (t) => {
  const { establish, server } = await connected(t, {});
  const connection = await establish();
  const wire = server.sockets[0]!;
  wire.pause();
  const [client] = server.connections;
  const protocol = (client as unknown as { _protocol: { ping(): void } })._protocol;
  for (let n = 0; n < 5000 && !connection.ended; n++) {
    for (let k = 0; k < 500; k++) protocol.ping();
    await turn();
  }
  assert.equal(connection.ended, true);
});
