/** Socket activation by systemd's own program, which does as the service manager does. */
import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { execute, GVPROXY, Running, temporaryFolder, until } from './process.ts';
import { missing } from './requirement.ts';

const skip = missing('systemd-socket-activate', 'curl');

test("systemd's sockets are served from the first client on, and are left to systemd", { skip }, async () => {
  const folder = temporaryFolder();
  const [api, web] = [join(folder, 'api'), join(folder, 'web')];
  const sockets = [`--listen=${api}`, `--listen=${web}`, '--fdname=api:services'];
  const command = [GVPROXY, '-ssh-port', '-1', '-listen', 'systemd:api', '-services', 'systemd:services'];
  const program = new Running('systemd-socket-activate', [...sockets, ...command]);
  await until(() => /Listening on .*web/.test(program.output), `systemd's sockets:\n${program.output}`);
  const ask = (socket: string, path: string) =>
    execute('curl', ['-sS', '-m', '20', '-w', '%{http_code}', '--unix-socket', socket, `http:/unix${path}`]);
  const first = await ask(api, '/services/forwarder/all');
  assert.equal(first.stdout, '[]\n200', `${first.stderr}${program.output}`);
  // It has no /connect.
  assert.match((await ask(web, '/connect')).stdout, /404$/);
  assert.equal(await program.kill('SIGTERM'), 0, program.output);
  assert.ok(statSync(api).isSocket());
});
