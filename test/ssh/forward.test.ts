import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { test, type TestContext } from 'node:test';
import { SshForward, type SshForwardOptions } from '../../src/ssh/forward.ts';
import type { ServerChannel } from 'ssh2';
import { CLIENT_KEY, dialTo, ecdsaKeys, RecordedLog, SshServer, targetOf, temporaryFolder, type ServerOptions } from './server.ts';

interface Setting {
  readonly server?: ServerOptions;
  readonly connect?: 'now' | 'first-connection';
  readonly dial?: SshForwardOptions['dial'];
  readonly pause?: SshForwardOptions['pause'];
  readonly onGivingUp?: (error: Error) => void;
  /** Leaves the guest switched off. */
  readonly off?: boolean;
}

class World {
  readonly log = new RecordedLog();
  readonly local: string;
  readonly remote: string;
  readonly identity: string;
  readonly options: ServerOptions;
  readonly forward: SshForward;
  readonly #t: TestContext;
  server: SshServer | undefined;
  port = 1;

  static async open(t: TestContext, setting: Setting = {}): Promise<World> {
    const folder = temporaryFolder(t);
    const identity = join(folder, 'identity');
    writeFileSync(identity, CLIENT_KEY.private);
    const world = new World(t, folder, setting);
    if (setting.off !== true) await world.boot();
    return world;
  }

  private constructor(t: TestContext, folder: string, setting: Setting) {
    this.#t = t;
    this.local = join(folder, 'local.sock');
    this.remote = join(folder, 'remote.sock');
    this.identity = join(folder, 'identity');
    this.options = setting.server ?? {};
    this.forward = new SshForward({
      local: this.local,
      remote: targetOf({ identity: this.identity, path: this.remote }),
      dial: setting.dial ?? dialTo(() => this.port),
      log: this.log,
      connect: setting.connect ?? 'first-connection',
      knownHosts: join(folder, 'none'),
      ...(setting.onGivingUp !== undefined && { onGivingUp: setting.onGivingUp }),
      // A turn of the event loop for what would be a second.
      pause: setting.pause ?? (() => turn()),
    });
    t.after(() => this.forward.close());
  }

  async boot(): Promise<SshServer> {
    this.server = await SshServer.start(this.#t, { ...this.options, ...(this.port > 1 && { port: this.port }) });
    this.port = this.server.port;
    return this.server;
  }

  /** A service in the guest. */
  async service(serve: (socket: Socket) => void): Promise<Server> {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('error', () => {});
      serve(socket);
    });
    server.listen(this.remote);
    await once(server, 'listening');
    this.#t.after(() => server.close());
    return server;
  }

  async connect(): Promise<Socket> {
    const socket = connect({ path: this.local, allowHalfOpen: true });
    socket.on('error', () => {});
    this.#t.after(() => socket.destroy());
    await once(socket, 'connect');
    return socket;
  }

  /** What the service answers to `text` until it ends. */
  async ask(text: string): Promise<string> {
    return answered(await this.connect(), text);
  }

  /** Waits for a record of the log. */
  async said(pattern: RegExp): Promise<void> {
    await until(() => this.log.lines.some((line) => pattern.test(line)));
  }
}

async function answered(socket: Socket, text: string): Promise<string> {
  socket.end(text);
  let answer = '';
  for await (const chunk of socket) answer += String(chunk);
  return answer;
}

async function until(condition: () => boolean): Promise<void> {
  for (let n = 0; n < 500_000 && !condition(); n++) await turn();
  assert.ok(condition());
}

/** Waits for the other side to end the connection, be it well or badly. */
async function gone(socket: Socket): Promise<void> {
  socket.resume();
  await Promise.race([once(socket, 'end'), once(socket, 'close')]).catch(() => {});
  socket.destroy();
}

/** Answers with what it got, when that has ended. */
function echo(socket: Socket): void {
  let text = '';
  socket.on('data', (chunk) => (text += String(chunk)));
  socket.on('end', () => socket.end(`echo ${text}`));
}

test('§14.4: connections share one SSH session, which is made for the first', async (t) => {
  const world = await World.open(t);
  await world.service(echo);
  for (let n = 0; n < 50; n++) await turn();
  assert.equal(world.server!.connections.length, 0);
  const answers = await Promise.all([1, 2, 3, 4, 5].map((n) => world.ask(`hello ${n}`)));
  assert.deepEqual(
    answers,
    [1, 2, 3, 4, 5].map((n) => `echo hello ${n}`),
  );
  assert.equal(world.server!.logins, 1);
  assert.deepEqual(new Set(world.server!.opened), new Set([world.remote]));
});

test('§14.6: the socket is there at once, and who connects is served when the guest has booted', async (t) => {
  let attempts = 0;
  const world = await World.open(t, {
    connect: 'now',
    off: true,
    pause: async () => {
      attempts++;
      await turn();
    },
  });
  await world.service(echo);
  assert.equal(existsSync(world.local), true);
  const early = await world.connect();
  const answer = answered(early, 'early');
  await until(() => attempts > 5);
  await world.boot();
  assert.equal(await answer, 'echo early');
  assert.deepEqual(world.log.spoken, [`info Socket forward established: ${world.local} to ${world.remote}`]);
  assert.equal(await world.ask('late'), 'echo late');
});

test('§14.6: set-up pauses 100, 200, 400, 800 and then 1000 ms, and gives up with the 60th attempt', async (t) => {
  const pauses: number[] = [];
  const timeouts: number[] = [];
  const reports: string[] = [];
  let attemptsThen = 0;
  const world = await World.open(t, {
    connect: 'now',
    off: true,
    dial: (_host, _port, { timeout }) => {
      timeouts.push(timeout);
      return Promise.reject(new Error('connect tcp 192.168.127.2:22: no route to host'));
    },
    pause: async (milliseconds) => {
      pauses.push(milliseconds);
      if (reports.length === 1) attemptsThen ||= timeouts.length;
      await turn();
    },
    onGivingUp: ({ message }) => reports.push(message),
  });
  await until(() => timeouts.length >= 150);
  world.forward.close();
  assert.deepEqual(pauses.slice(0, 7), [100, 200, 400, 800, 1000, 1000, 1000]);
  assert.equal(attemptsThen, 60);
  assert.deepEqual(new Set(timeouts), new Set([5000]));
  assert.deepEqual(reports, ['setupProxy failed: timeout: connect tcp 192.168.127.2:22: no route to host']);
  assert.equal(world.log.spoken.length, 1);
  assert.match(world.log.spoken[0]!, /^warning ssh forward .*local.sock still waits for 192.168.127.2: connect tcp/);
});

test('a guest that boots after gvproxy would have given up is served all the same', async (t) => {
  let gaveUp = false;
  const world = await World.open(t, { connect: 'now', off: true, onGivingUp: () => (gaveUp = true) });
  await world.service(echo);
  await until(() => gaveUp);
  await world.boot();
  assert.equal(await world.ask('late'), 'echo late');
});

test('a key that the guest refuses is said once, and taken as soon as the guest knows it', async (t) => {
  const world = await World.open(t, { connect: 'now', server: { keys: [ecdsaKeys().public] } });
  await world.service(echo);
  await world.said(/attempt 5: ssh: handshake failed/);
  world.server!.stop();
  await world.said(/ECONNREFUSED/);
  await SshServer.start(t, { port: world.port });
  assert.equal(await world.ask('now'), 'echo now');
  const warnings = world.log.lines.filter((line) => line.startsWith('warning '));
  assert.equal(warnings.length, 1);
  assert.match(warnings[0]!, /unable to authenticate, attempted methods \[none publickey\].*\(user core, key .*identity\)$/);
});

test('an identity that is not there yet is said once, and read when it is', async (t) => {
  const world = await World.open(t, { connect: 'now', off: true });
  await world.service(echo);
  rmSync(world.identity);
  await world.said(/attempt 9: identity file/);
  writeFileSync(world.identity, CLIENT_KEY.private);
  await world.boot();
  assert.equal(await world.ask('x'), 'echo x');
  assert.equal(world.log.lines.filter((line) => line.startsWith('warning ')).length, 1);
});

test('§14.6: a socket that is not there in the guest is tried three times, and the forward goes on', async (t) => {
  const world = await World.open(t);
  const socket = await world.connect();
  await gone(socket);
  assert.equal(world.server!.opened.length, 3);
  assert.equal(world.server!.logins, 1);
  assert.equal(world.log.spoken.length, 1);
  const text = `error couldn't reestablish ssh tunnel on path: ${world.remote}: ssh: rejected: connect failed (`;
  assert.ok(world.log.spoken[0]!.startsWith(text), world.log.spoken[0]);
  await world.service(echo);
  assert.equal(await world.ask('again'), 'echo again');
});

test('§14.6: a guest that can not be reached closes the connection after three tries', async (t) => {
  let dials = 0;
  const refuse = (): Promise<never> => {
    dials++;
    return Promise.reject(new Error('connection refused'));
  };
  const world = await World.open(t, { off: true, dial: refuse });
  const socket = await world.connect();
  await gone(socket);
  assert.equal(dials, 3);
  assert.deepEqual(world.log.spoken, ["error couldn't reestablish ssh connection: 192.168.127.2:22: connection refused"]);
});

test('§14.6: a guest that was rebooted is connected anew', async (t) => {
  const world = await World.open(t, { connect: 'now' });
  await world.service(echo);
  assert.equal(await world.ask('before'), 'echo before');
  const open = await world.connect();
  await until(() => world.server!.opened.length === 2);
  world.server!.stop();
  await gone(open);
  const again = await world.boot();
  assert.equal(await world.ask('after'), 'echo after');
  assert.equal(again.logins, 1);
});

test('§14.6: each direction ends on its own', async (t) => {
  const world = await World.open(t);
  let service: Socket | undefined;
  await world.service((socket) => (service = socket));
  const client = await world.connect();
  let word = '';
  let hasEnded = false;
  client.on('data', (chunk) => (word += String(chunk)));
  client.on('end', () => (hasEnded = true));
  await until(() => service !== undefined);
  let heard = '';
  let hasHeardAll = false;
  service!.on('data', (chunk) => (heard += String(chunk)));
  service!.on('end', () => (hasHeardAll = true));
  service!.end('the last word');
  await until(() => hasEnded);
  assert.equal(word, 'the last word');
  client.write('still ');
  await until(() => heard === 'still ');
  assert.equal(hasHeardAll, false);
  client.end('heard');
  await until(() => hasHeardAll && client.closed);
  assert.equal(heard, 'still heard');
});

test('a megabyte and more goes each way at once, and no byte is wrong', async (t) => {
  const world = await World.open(t);
  await world.service((socket) => socket.pipe(socket));
  const data = randomBytes(8 << 20);
  const socket = await world.connect();
  const hash = createHash('sha256');
  socket.end(data);
  for await (const chunk of socket) hash.update(chunk as Buffer);
  assert.equal(hash.digest('hex'), createHash('sha256').update(data).digest('hex'));
});

test('a local client that does not read holds up the guest, not the memory', async (t) => {
  const world = await World.open(t);
  let sent = 0;
  await world.service((socket) => {
    const chunk = Buffer.alloc(1 << 16);
    const fill = (): void => {
      while (socket.write(chunk)) sent += chunk.length;
      sent += chunk.length;
    };
    socket.on('drain', fill);
    fill();
  });
  const socket = await world.connect();
  socket.pause();
  await until(() => sent > 0);
  let before = 0;
  while (sent > before) {
    before = sent;
    for (let n = 0; n < 2000; n++) await turn();
  }
  assert.ok(sent > 1 << 20 && sent < 32 << 20, `${sent} bytes`);
  socket.resume();
  await until(() => sent > 2 * before);
});

test('a guest that does not read holds up the local client, not the memory, whatever window it grants', async (t) => {
  let channel: ServerChannel | undefined;
  const world = await World.open(t, { server: { onChannel: (given) => (channel = given) } });
  const socket = await world.connect();
  await until(() => channel !== undefined);
  const protocol = (channel as unknown as { _client: { _protocol: { channelWindowAdjust(id: number, bytes: number): void } } })._client
    ._protocol;
  protocol.channelWindowAdjust((channel as unknown as { outgoing: { id: number } }).outgoing.id, 2 ** 31);
  for (let n = 0; n < 500; n++) await turn();
  world.server!.sockets[0]!.pause();
  let sent = 0;
  const chunk = Buffer.alloc(1 << 16);
  const fill = (): void => {
    while (sent < 256 << 20 && socket.write(chunk)) sent += chunk.length;
    sent += chunk.length;
  };
  socket.on('drain', fill);
  fill();
  let before = -1;
  while (sent > before) {
    before = sent;
    for (let n = 0; n < 2000; n++) await turn();
  }
  assert.ok(sent < 24 << 20, `${sent} bytes`);
});

test('a slow channel does not hold up the next', async (t) => {
  const waiting: (() => void)[] = [];
  const world = await World.open(t, {
    server: {
      onOpen: (accept) => {
        if (waiting.length === 0) waiting.push(() => accept().end('slow'));
        else accept().end('quick');
      },
    },
  });
  const slow = world.ask('');
  await until(() => waiting.length === 1);
  assert.equal(await world.ask(''), 'quick');
  waiting[0]!();
  assert.equal(await slow, 'slow');
});

test('a client that leaves while its channel is opened leaves nothing behind', async (t) => {
  let accept: (() => ServerChannel) | undefined;
  const world = await World.open(t, { server: { onOpen: (given) => (accept = given) } });
  const socket = await world.connect();
  await until(() => accept !== undefined);
  socket.destroy();
  // For a unix socket, leaving looks like ending one direction: the guest is told that, and ends the other.
  const channel = accept!();
  await once(channel.resume(), 'end');
  const closed = once(channel, 'close');
  channel.end();
  await closed;
});

test('a client that resets its connection ends the channel, and the guest hears of it', async (t) => {
  const world = await World.open(t);
  let service: Socket | undefined;
  await world.service((socket) => (service = socket));
  const socket = await world.connect();
  socket.write('x');
  await until(() => service !== undefined);
  const closed = once(service!.resume(), 'close');
  service!.on('end', () => service!.end());
  socket.destroy();
  await closed;
});

test('300 connections at once are all served', async (t) => {
  const world = await World.open(t);
  await world.service(echo);
  const answers = await Promise.all(Array.from({ length: 300 }, (_, n) => world.ask(String(n))));
  assert.deepEqual(
    answers,
    Array.from({ length: 300 }, (_, n) => `echo ${n}`),
  );
  assert.equal(world.server!.logins, 1);
});

test('closing removes the socket, ends connections and session, and says nothing', async (t) => {
  const world = await World.open(t, { connect: 'now' });
  await world.service(echo);
  const open = await world.connect();
  await until(() => world.server!.opened.length === 1);
  const wire = world.server!.sockets[0]!;
  world.forward.close();
  assert.equal(existsSync(world.local), false);
  await gone(open);
  await until(() => wire.destroyed);
  assert.deepEqual(
    world.log.spoken.filter((line) => !line.startsWith('info ')),
    [],
  );
});

test('closing ends a set-up that goes on, and a connection that waits for it', async (t) => {
  const world = await World.open(t, { connect: 'now', off: true, pause: (_milliseconds, signal) => once(signal, 'abort').then(() => {}) });
  const waiting = await world.connect();
  await world.said(/attempt 1: /);
  world.forward.close();
  await gone(waiting);
  assert.equal(existsSync(world.local), false);
});

test('passphrase and password never reach the log', async (t) => {
  const folder = temporaryFolder(t);
  const identity = join(folder, 'identity');
  writeFileSync(identity, CLIENT_KEY.private);
  const log = new RecordedLog();
  const server = await SshServer.start(t, { keys: [] });
  const secrets = { passphrase: 'secret-passphrase', password: 'secret-password' };
  const remote = targetOf({ identity, ...secrets });
  const local = join(folder, 's');
  const forward = new SshForward({ local, remote, dial: dialTo(() => server.port), log, connect: 'first-connection', knownHosts: '/none' });
  t.after(() => forward.close());
  await gone(connect(local));
  assert.match(log.lines.join('\n'), /attempted methods \[none publickey password\]/);
  assert.doesNotMatch(log.lines.join('\n'), /secret/);
});

test('the source loads ssh2 with the first connection only', () => {
  const connection = readFileSync(new URL('../../src/ssh/connection.js', import.meta.url), 'utf8');
  assert.doesNotMatch(connection, /^import .*'ssh2'/m);
  assert.match(connection, /await import\('ssh2'\)/);
});
