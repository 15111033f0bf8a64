import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { test } from 'node:test';
import { temporaryFolder } from '../../guest/process.ts';
import { call, type Called } from './world.ts';

async function check(text: string): Promise<Called & { file: string }> {
  const file = join(temporaryFolder(), 'guestwire.yaml');
  writeFileSync(file, text);
  return { ...(await call(['check-config', file])), file };
}

test('a configuration that is right is said to be, also while a network runs with it', async (t) => {
  const socket = join(temporaryFolder(), 'vm.sock');
  const server = createServer().listen(socket);
  await once(server, 'listening');
  t.after(() => void server.close());
  const { status, stdout, stderr, file } = await check(`interfaces:\n  qemu: unix://${socket}\nstack:\n  mtu: 4000\n`);
  assert.deepEqual([status, stdout, stderr], [0, `${file}: nothing is wrong\n`, '']);
});

test('what is wrong is told with its place, and ends with status 1', async () => {
  const typed = await check('stack:\n  mtu: many\n');
  assert.equal(typed.status, 1);
  assert.match(typed.stderr, /^guestwire check-config: .*guestwire\.yaml:2:8/);
  for (const [text, pattern] of [
    ['stack:\n  mtu: 12\n', /mtu/],
    ['stack:\n  gatewayIP: 10.0.0.1\n', /10\.0\.0\.1/],
    ['interfaces:\n  bess: unix:///tmp/x.sock\n', /bess listen address must be unixpacket/],
    ['links:\n  - qemu+unix:relative\n', /qemu\+unix/],
    ['stack:\n  forwards:\n    ":80": 10.9.9.9:80\n', /10\.9\.9\.9/],
  ] as const) {
    const { status, stderr, stdout } = await check(text);
    assert.deepEqual([status, stdout], [1, ''], text);
    assert.match(stderr, pattern);
  }
  assert.equal((await call(['check-config', '/nonexistent.yaml'])).status, 1);
  assert.equal((await call(['check-config'])).status, 2);
});

test('an unknown key is warned of and is no failure', async () => {
  const { status, stderr } = await check('stack:\n  mtuu: 4000\n');
  assert.equal(status, 0);
  assert.match(stderr, /^guestwire check-config: warning: .*mtuu/);
});
