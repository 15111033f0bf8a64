import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, existsSync, lstatSync, mkdirSync, readFileSync, renameSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Forward } from '../../src/forward/forward.ts';
import { VirtualNetwork } from '../../src/network.ts';
import { attachGuest } from '../../src/testing/attach.ts';
import type { SoftGuest } from '../../src/testing/soft-guest.ts';
import type { SoftSocket } from '../../src/testing/soft-tcp.ts';
import { execute, temporaryFolder, until } from '../guest/process.ts';

describe('a unix socket that leads to a guest', () => {
  const folder = temporaryFolder();
  let network: VirtualNetwork;
  let guest: SoftGuest;

  before(async () => {
    network = await VirtualNetwork.create();
    guest = attachGuest(network, '5a:94:ef:e4:0c:ee').guest;
    await guest.dhcp();
  });
  after(() => network.close());

  function expose(path: string, port = 80): Promise<Forward> {
    return network.forwards.expose({ protocol: 'unix', local: path, remote: `tcp://192.168.127.2:${port}` });
  }

  /** Connections that are left when the network closes are reset. */
  function serve(port: number, accept: (socket: SoftSocket) => void): void {
    guest.listen(port, (socket) => {
      socket.on('error', () => {});
      accept(socket);
    });
  }

  /** A server left its socket's file behind. */
  async function leaveBehind(path: string): Promise<void> {
    const code = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
    await execute(process.execPath, ['-e', code]);
    assert.ok(statSync(path).isSocket());
  }

  test('§14.1: carries bytes and both ends of a conversation, and unexpose removes the file', async () => {
    const path = join(folder, 'echo.sock');
    const { boundPort } = await expose(path, 7);
    assert.equal(boundPort, undefined);
    serve(7, (socket) => void socket.pipe(socket));
    const blob = randomBytes(3_000_000);
    const socket = connect({ path, allowHalfOpen: true });
    socket.end(blob);
    const back = createHash('sha256');
    for await (const chunk of socket) back.update(chunk as Buffer);
    assert.equal(back.digest('hex'), createHash('sha256').update(blob).digest('hex'));
    network.forwards.unexpose('unix', path);
    assert.equal(existsSync(path), false);
  });

  test('what a guest says goes on after its client has ended', async () => {
    const path = join(folder, 'half.sock');
    await expose(path, 8);
    serve(8, (socket) => {
      let length = 0;
      socket.on('data', (chunk: Buffer) => (length += chunk.length));
      socket.on('end', () => socket.end(`${length} bytes`));
    });
    const socket = connect({ path, allowHalfOpen: true });
    socket.end(Buffer.alloc(100_000));
    assert.equal(String((await once(socket, 'data'))[0]), '100000 bytes');
    network.forwards.unexpose('unix', path);
  });

  test('a client that does not read holds the guest back, and loses nothing', async () => {
    const path = join(folder, 'slow.sock');
    await expose(path, 9);
    const blob = Buffer.alloc(8_000_000, 'abcdefg');
    let flushed = false;
    serve(9, (socket) => void socket.end(blob, () => (flushed = true)));
    const socket = connect(path);
    socket.pause();
    await once(socket, 'connect');
    await until(() => network.bytesReceived > 1_000_000, 'a part to get through');
    let before = -1;
    // What fits into buffers on the way has come; the rest stays with the guest.
    await until(() => {
      const still = network.bytesReceived === before;
      before = network.bytesReceived;
      return still;
    }, 'the guest to wait');
    assert.equal(flushed, false);
    let length = 0;
    for await (const chunk of socket) length += (chunk as Buffer).length;
    assert.equal(length, blob.length);
    network.forwards.unexpose('unix', path);
  });

  test('a guest that refuses is an end to the client', async () => {
    const path = join(folder, 'refused.sock');
    await expose(path, 81);
    const socket = connect(path);
    socket.resume();
    await once(socket, 'close');
    network.forwards.unexpose('unix', path);
  });

  test('the file is for its owner alone, from the beginning', async () => {
    const path = join(folder, 'mode.sock');
    const mask = process.umask(0);
    try {
      await expose(path);
      assert.equal(statSync(path).mode & 0o777, 0o600);
    } finally {
      process.umask(mask);
    }
    network.forwards.unexpose('unix', path);
  });

  test('§14.1: a socket that nobody listens on makes room', async () => {
    const path = join(folder, 'stale.sock');
    await leaveBehind(path);
    await expose(path, 7);
    const socket = connect(path);
    socket.write('x');
    await once(socket, 'data');
    socket.destroy();
    network.forwards.unexpose('unix', path);
    assert.equal(existsSync(path), false);
  });

  test('what is no socket, or is listened on, stays', async () => {
    const inUse = (path: string, advice = ''): object => ({
      code: 'bind',
      message: `listen unix ${path}: bind: address already in use${advice}`,
    });
    const otherThing = ' (what stands there is not a socket: choose another path)';
    const file = join(folder, 'file');
    writeFileSync(file, 'precious');
    await assert.rejects(expose(file), inUse(file, otherThing));
    assert.equal(readFileSync(file, 'utf8'), 'precious');

    const path = join(folder, 'served.sock');
    const server = createServer((socket) => socket.end('mine')).listen(path);
    await once(server, 'listening');
    await assert.rejects(expose(path), inUse(path));
    assert.equal(String((await once(connect(path), 'data'))[0]), 'mine');
    server.close();

    const stale = join(folder, 'target.sock');
    await leaveBehind(stale);
    const link = join(folder, 'link.sock');
    symlinkSync(stale, link);
    await assert.rejects(expose(link), inUse(link, otherThing));
    assert.ok(lstatSync(link).isSymbolicLink() && existsSync(stale));
  });

  test('a file that has taken the place of ours is left to its owner', async () => {
    const path = join(folder, 'replaced.sock');
    await expose(path);
    renameSync(path, `${path}.old`);
    writeFileSync(path, 'another');
    network.forwards.unexpose('unix', path);
    assert.equal(readFileSync(path, 'utf8'), 'another');
  });

  test('§14.2: a path where no socket can be is told in the words of the system', async () => {
    const refused = (path: string, reason: string): Promise<void> =>
      assert.rejects(expose(path), { code: 'bind', message: `listen unix ${path}: bind: ${reason}` });
    await refused(join(folder, 'missing/x.sock'), 'no such file or directory');
    const advice = ' (a unix socket path has 1 to 107 bytes)';
    await refused(join(folder, 'x'.repeat(108)), `invalid argument${advice}`);
    await refused('', `invalid argument${advice}`);
    await refused('a\0b', `invalid argument${advice}`);
    mkdirSync(join(folder, 'closed'));
    chmodSync(join(folder, 'closed'), 0o500);
    if (process.getuid!() !== 0) await refused(join(folder, 'closed/x.sock'), 'permission denied');
  });

  test('closing the network removes the file', async () => {
    const other = await VirtualNetwork.create();
    const path = join(folder, 'closing.sock');
    await other.forwards.expose({ protocol: 'unix', local: path, remote: 'tcp://192.168.127.2:80' });
    const waiting: Socket = connect(path);
    waiting.on('error', () => {});
    await once(waiting, 'connect');
    await other.close();
    assert.equal(existsSync(path), false);
    waiting.destroy();
  });
});
