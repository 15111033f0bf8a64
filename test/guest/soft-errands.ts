/** What every VM must be able to do, done by a soft guest behind the real program. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { SoftGuest, SoftSocket } from '../../src/testing/index.ts';
import { fetchText } from './errands.ts';
import { randomBytes, serveFiles, serveHash, sha256 } from './host-servers.ts';

const HOST = '192.168.127.254';

async function bodyOf(socket: SoftSocket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(socket, 'end');
  return Buffer.concat(chunks);
}

/** Leases, pings, resolves, fetches and sends `size` hashed bytes, and is reached through the host's port `sshPort`. */
export async function runSoftErrands(guest: SoftGuest, size: number, sshPort: number): Promise<void> {
  const lease = await guest.dhcp();
  assert.deepEqual([lease.address, lease.router, lease.nameserver, lease.mtu], ['192.168.127.2', '192.168.127.1', '192.168.127.1', 1500]);
  await guest.ping('192.168.127.1', 5000);
  assert.deepEqual(await guest.resolve('host.containers.internal'), [HOST]);

  const blob = randomBytes(size);
  const [files, hashes] = [await serveFiles(new Map([['/blob', blob]])), await serveHash()];
  try {
    const down = await guest.connect(HOST, files.port);
    down.write('GET /blob HTTP/1.0\r\n\r\n');
    const response = await bodyOf(down);
    assert.equal(sha256(response.subarray(response.indexOf('\r\n\r\n') + 4)), sha256(blob));
    const up = await guest.connect(HOST, hashes.port);
    up.end(blob);
    assert.equal((await bodyOf(up)).toString(), `${sha256(blob)}\n`);
  } finally {
    files.server.close();
    hashes.server.close();
  }

  guest.listen(22, (socket) => {
    socket.once('data', () => socket.end('HTTP/1.0 200 OK\r\n\r\nhello from the guest'));
  });
  assert.equal(await fetchText(`http://127.0.0.1:${sshPort}/`), 'hello from the guest');
  assert.deepEqual(guest.errors, []);
}
