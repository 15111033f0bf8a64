/** A script that embeds a network boots a QEMU guest: examples/boot-qemu.ts. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { takeLease } from './errands.ts';
import { GuestConsole } from './guest-console.ts';
import { ROOT, Running } from './process.ts';
import { QemuGuest } from './qemu.ts';
import { missing } from './requirement.ts';

const skip = missing('qemu-system-x86_64', 'busybox', 'cpio', 'apt-get', 'dpkg-deb', 'depmod', 'setpriv');

test('a script boots a QEMU guest on a network of its own, talks to its web server, and ends it', { skip }, async () => {
  await QemuGuest.prepare();
  const cache = join(ROOT, '.cache/guest');
  const script = new Running(process.execPath, [
    join(ROOT, 'build/examples/boot-qemu.js'),
    // Whatever becomes of the script, QEMU goes with it.
    ...['setpriv', '--pdeathsig', 'KILL', 'qemu-system-x86_64', '-machine', 'q35,accel=tcg', '-cpu', 'max', '-m', '256', '-nodefaults'],
    ...['-no-reboot', '-display', 'none', '-kernel', join(cache, 'vmlinuz'), '-initrd', join(cache, 'initramfs.cpio')],
    ...['-append', 'console=ttyS0 quiet panic=-1 tsc=unstable', '-serial', 'null', '-serial', 'stdio'],
  ]);
  const guest = new GuestConsole(script);
  await guest.ready();
  await takeLease(guest, 'eth0', '/etc/lease', '/tmp/lease');
  // The script ends the guest as soon as it has been answered.
  script.child.stdin?.write("mkdir -p /www; echo 'hello from the guest' > /www/index.html; busybox httpd -p 80 -h /www\n");
  assert.equal(await script.ended, 0, script.output);
  assert.match(script.output, /the guest has 192\.168\.127\.2\n/);
  assert.match(script.output, /its web server says: hello from the guest\n/);
});
