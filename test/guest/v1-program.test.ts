/** The clean API of a program that runs. */
import assert from 'node:assert/strict';
import { request } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { GVPROXY, Running, temporaryFolder, until } from './process.ts';

function get(socketPath: string, path: string): Promise<{ status: number; body: unknown }> {
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath, path, agent: false }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => (text += chunk.toString()));
      response.on('end', () => resolve({ status: response.statusCode!, body: JSON.parse(text) }));
    });
    sent.on('error', reject);
    sent.end();
  });
}

test('/v1/ is served on -listen and on -services, and lists what the flags made', async () => {
  const folder = temporaryFolder();
  const flags = ['-ssh-port', '-1', '-listen', `unix://${folder}/api`, '-services', `unix://${folder}/services`];
  const gvproxy = new Running(GVPROXY, [...flags, '-listen-qemu', `unix://${folder}/vm`]);
  await until(() => gvproxy.output.includes('listening for QEMU'), gvproxy.output);
  for (const name of ['api', 'services']) {
    const { status, body } = await get(join(folder, name), '/v1/');
    assert.deepEqual([status, (body as { name: string }).name], [200, 'guestwire']);
    const leases = await get(join(folder, name), '/v1/leases');
    assert.match(JSON.stringify(leases.body), /192\.168\.127\.2/);
    assert.equal((await get(join(folder, name), '/v1/nothing')).status, 404);
  }
  assert.equal(await gvproxy.kill('SIGTERM'), 0, gvproxy.output);
});
