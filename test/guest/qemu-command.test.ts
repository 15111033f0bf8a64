/** `guestwire qemu` with a real QEMU and a Linux guest in it. */
import assert from 'node:assert/strict';
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
