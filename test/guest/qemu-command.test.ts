/** `guestwire qemu` with a real QEMU and a Linux guest in it. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { fetchText, runErrands, takeLease } from './errands.ts';
import { freePort } from './gvproxy.ts';
import { execute, ROOT, temporaryFolder } from './process.ts';
import { QemuGuest } from './qemu.ts';
import { missing } from './requirement.ts';

const skip = missing('qemu-system-x86_64', 'busybox', 'cpio', 'apt-get', 'dpkg-deb', 'depmod');
const GUESTWIRE = join(ROOT, 'bin/guestwire');

test('guestwire qemu boots a guest that is online, leads a port to it, and ends with its status', { skip }, async () => {
  process.env['XDG_RUNTIME_DIR'] = temporaryFolder();
  const port = freePort();
  const options = ['--forward', `${port}:80`, '--mtu', '4000', '--name', 'vm'];
  const guest = await QemuGuest.boot(undefined, '', { startedBy: [GUESTWIRE, 'qemu', ...options, '--'] });
  assert.match(await takeLease(guest, 'eth0', '/etc/lease', '/tmp/lease'), /^ip=192\.168\.127\.2$/m);
  assert.equal((await guest.run('cat /sys/class/net/eth0/mtu')).trim(), '4000');
  await runErrands(guest, 1_000_000);
  await guest.run("echo 'hello from the guest' > /www/index.html; busybox httpd -p 80 -h /www");
  assert.equal(await fetchText(`http://127.0.0.1:${port}/`), 'hello from the guest\n');
  const { stdout } = await execute(GUESTWIRE, ['ports', '--name', 'vm']);
  assert.match(stdout, /\tqemu\t5a:94:ef:e4:0c:ee\t192\.168\.127\.2\t/);
  await guest.powerOff();
  assert.equal(guest.process.child.exitCode, 0, guest.process.output);
});

test('guestwire qemu gives a guest IPv6 alone, a forward leads to it, and the other commands tell of it', { skip }, async (t) => {
  process.env['XDG_RUNTIME_DIR'] = temporaryFolder();
  const port = freePort();
  const prefix = 'fd12:3456:789a:1';
  // What the guest's kernel makes of its MAC address.
  const address = `${prefix}:5894:efff:fee4:cee`;
  const versions = ['--ipv4=false', '--subnet6', `${prefix}::/64`];
  const options = [...versions, '--forward', `[::1]:${port}:[${address}]:80`, '--name', 'vm'];
  const guest = await QemuGuest.boot(undefined, '', { startedBy: [GUESTWIRE, 'qemu', ...options, '--'] });
  const ready = `ip -6 addr show dev eth0 | grep -v tentative | grep -q 'inet6 ${address}/64'`;
  await guest.run(`i=0; until ${ready}; do i=$((i+1)); [ $i -lt 50 ] || break; usleep 200000; done; ${ready}`);
  await guest.run("echo 'hello over IPv6' > /www/index.html; busybox httpd -p 80 -h /www");
  assert.equal(await fetchText(`http://[::1]:${port}/`), 'hello over IPv6\n');

  const server = createServer((socket) => void socket.on('error', () => {})).listen(0, '::1');
  t.after(() => server.close());
  await once(server, 'listening');
  const opened = once(server, 'connection');
  await guest.run(`nc ${prefix}::254 ${(server.address() as AddressInfo).port} < /dev/zero > /dev/null 2>&1 &`);
  const [connection] = (await opened) as [Socket];
  t.after(() => connection.destroy());
  // Before its first byte the guest may still owe the last word of the handshake.
  await once(connection, 'readable');
  const ask = async (...words: string[]): Promise<string> => (await execute(GUESTWIRE, [...words, '--name', 'vm'])).stdout;
  assert.match(
    await ask('flows', '--guest', address),
    new RegExp(`\t\\[${address}\\]:\\d+\toutbound\t\\[${prefix}::254\\]:\\d+\tESTABLISHED\t`),
  );
  assert.match(await ask('leases'), new RegExp(`^${prefix}::2\t5a:94:ef:e4:0c:ee$`, 'm'));
  assert.match(await ask('forward', 'ls'), new RegExp(`^tcp\t\\[::1\\]:${port}\t${port}\t\\[${address}\\]:80$`, 'm'));
  assert.match(await ask('ports'), /\tqemu\t5a:94:ef:e4:0c:ee\t/);
  await guest.powerOff();
  assert.equal(guest.process.child.exitCode, 0, guest.process.output);
});
