/** Unix sockets of a guest without IPv4, through SSH to its addresses of IPv6. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmodSync, mkdirSync, writeFileSync, readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { configured, OWN, PREFIX } from './ipv6-guest.ts';
import { Gvproxy } from './gvproxy.ts';
import { Namespace } from './namespace.ts';
import { succeed, temporaryFolder, until } from './process.ts';
import { missing } from './requirement.ts';

const skip = missing('root', 'tun', 'ip', 'sshd', 'ssh-keygen', 'curl');

/** What the service at a unix socket answers; connections that come before SSH is up wait. */
async function ask(path: string): Promise<string> {
  const socket = connect(path);
  let text = '';
  socket.on('data', (data: Buffer) => (text += data.toString()));
  socket.write('hello');
  await once(socket, 'end', { signal: AbortSignal.timeout(20_000) });
  socket.destroy();
  return text;
}

test('§14.4, §14.6: SSH forwards lead to the device by its address of IPv6, and to what the API is told', { skip }, async () => {
  const folder = temporaryFolder();
  const [key, service, api] = ['key', 'service.sock', 'api.sock'].map((name) => join(folder, name)) as [string, string, string];
  for (const name of ['key', 'host']) await succeed('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(folder, name)]);
  const settings = ['UsePAM no', 'StrictModes no', 'PermitRootLogin prohibit-password', 'PidFile none', 'ListenAddress ::', 'Port 22'];
  const files = [`HostKey ${join(folder, 'host')}`, `AuthorizedKeysFile ${join(folder, 'authorized')}`, ''];
  writeFileSync(join(folder, 'authorized'), readFileSync(`${key}.pub`));
  writeFileSync(join(folder, 'config'), [...settings, ...files].join('\n'));
  mkdirSync('/run/sshd', { recursive: true });
  chmodSync('/run/sshd', 0o755);
  const server = createServer((socket) => socket.on('data', (data) => socket.end(`heard ${data.toString()}`))).listen(service);
  await once(server, 'listening');

  const early = join(folder, 'early.sock');
  const forward = ['-forward-sock', early, '-forward-dest', service, '-forward-user', 'root', '-forward-identity', key];
  const network = ['-subnet6', `${PREFIX}::/64`, '-ipv4=false'];
  const gvproxy = await Gvproxy.start({ flags: [...network, ...forward, '-listen', `unix://${api}`] });
  const guest = await Namespace.create(gvproxy.socket);
  await configured(guest);
  await guest.succeed('ip', 'addr', 'add', `${PREFIX}::2/64`, 'dev', 'tap0', 'nodad');
  const sshd = guest.start('/usr/sbin/sshd', '-D', '-e', '-f', join(folder, 'config'));
  await until(() => sshd.output.includes('Server listening'), `sshd:\n${sshd.output}`);

  assert.equal(await ask(early), 'heard hello');
  const late = join(folder, 'late.sock');
  const body = JSON.stringify({ protocol: 'unix', local: late, remote: `ssh-tunnel://root@[${OWN}]:22${service}?key=${key}` });
  await succeed('curl', ['-sS', '--fail-with-body', '--unix-socket', api, 'http:/unix/services/forwarder/expose', '-d', body]);
  assert.equal(await ask(late), 'heard hello');
  await gvproxy.process.kill('SIGTERM');
  await sshd.kill();
  server.close();
  await guest.remove();
});
