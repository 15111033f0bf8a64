/** A guest with the kernel's own TCP on a link that loses, delays and reorders: nothing is corrupted, nothing stalls. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Gvproxy } from './gvproxy.ts';
import { randomBytes, serveFiles, serveHash, sha256 } from './host-servers.ts';
import { LossyLink } from './lossy-link.ts';
import { Namespace } from './namespace.ts';
import { temporaryFolder } from './process.ts';
import { missing } from './requirement.ts';

const skip = missing('root', 'tun', 'ip', 'curl', 'python3');
const HOST = '192.168.127.254';
const SIZE = 20_000_000;
/** Milliseconds for both directions at once; some times what they take on an idle machine. */
const BOUND = 60_000;

test('20 MB each way arrive intact over a link that loses one frame in a hundred', { skip, timeout: 120_000 }, async (t) => {
  const gvproxy = await Gvproxy.start();
  const link = await LossyLink.open(gvproxy.socket, { seed: 20_261_121, loss: 0.01, late: 0.005, delay: 2, lateness: 2 });
  const guest = await Namespace.create(link.path);
  await guest.configure();
  const folder = temporaryFolder();
  const [source, target] = [join(folder, 'up'), join(folder, 'down')];
  const [up, down] = [randomBytes(SIZE), randomBytes(SIZE)];
  writeFileSync(source, up);
  const files = await serveFiles(new Map([['/blob', down]]));
  const hashes = await serveHash();
  // Also when it fails: what is left open would keep the process alive.
  t.after(async () => {
    files.server.close();
    files.server.closeAllConnections();
    hashes.server.close();
    await guest.remove();
    link.close();
  });
  const client = `import socket
s=socket.create_connection(('${HOST}',${hashes.port}));f=open('${source}','rb');s.sendfile(f);s.shutdown(socket.SHUT_WR);print(s.makefile().read().strip())`;
  const started = performance.now();
  const timed = async (work: Promise<string>): Promise<[string, number]> => [await work, performance.now() - started];
  const [[hash, upTime], [, downTime]] = await Promise.all([
    timed(guest.succeed('python3', '-c', client)),
    timed(guest.succeed('curl', '-sS', '--fail', '-o', target, `http://${HOST}:${files.port}/blob`)),
  ]);
  assert.equal(hash.trim(), sha256(up));
  assert.equal(sha256(readFileSync(target)), sha256(down));
  assert.ok(Math.max(upTime, downTime) < BOUND, `up ${upTime} ms, down ${downTime} ms`);
  t.diagnostic(`up ${(upTime / 1000).toFixed(1)} s, down ${(downTime / 1000).toFixed(1)} s`);
  for (const { frames, lost, late } of link.ways) {
    assert.ok(lost > frames / 200 && late > frames / 400, `${lost} lost and ${late} late of ${frames}`);
  }
  await guest.remove();
  assert.equal(await gvproxy.process.ended, 0, gvproxy.process.output);
});
