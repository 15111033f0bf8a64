/** The ways QEMU attaches beside those in qemu.test.ts, each with a guest that gets online. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { documented } from './documented.ts';
import { runErrands, serveToHost, takeLease } from './errands.ts';
import { freePort, Gvproxy } from './gvproxy.ts';
import { ROOT, temporaryFolder } from './process.ts';
import { QemuGuest } from './qemu.ts';
import { missing } from './requirement.ts';

const skip = missing('qemu-system-x86_64', 'busybox', 'cpio', 'apt-get', 'dpkg-deb', 'depmod', 'setpriv');
const MAC = '5a:94:ef:e4:0c:ee';
const SIZE = 3_000_000;

async function getOnline(guest: QemuGuest, gvproxy: Gvproxy): Promise<void> {
  const lease = await takeLease(guest, 'eth0', '/etc/lease', '/tmp/lease');
  assert.match(lease, /^ip=192\.168\.127\.2$/m);
  await runErrands(guest, SIZE);
  await serveToHost(guest, '/www', gvproxy.sshPort, 'hello from the guest');
}

test('§15.2: a QEMU guest on -netdev socket,fd=3, which qemu-wrapper has connected, is online', { skip }, async () => {
  const gvproxy = await Gvproxy.start();
  const [program, socket, , , netdev] = documented('QEMU that inherits its connection', { '/run/vm.sock': gvproxy.socket }).guest;
  const wrapper = process.env['GUESTWIRE_QEMU_WRAPPER'] ?? join(ROOT, 'bin', program!);
  // Whatever becomes of the wrapper, QEMU goes with it.
  const startedBy = [wrapper, socket!, 'setpriv', '--pdeathsig', 'KILL'];
  const guest = await QemuGuest.boot(netdev!, MAC, { startedBy });
  await getOnline(guest, gvproxy);
  await guest.powerOff();
  assert.equal(guest.process.child.exitCode, 0, 'QEMU’s status is the wrapper’s');
  assert.equal(await gvproxy.process.ended, 0, gvproxy.process.output);
});

/** Starts both sides as documented, has the guest get online, and then another one in its place get its lease. */
async function attach(kind: string, places: Readonly<Record<string, string>>): Promise<void> {
  const { flags, guest: words } = documented(kind, places);
  const gvproxy = await Gvproxy.start({ kind: 'none', flags });
  const guest = await QemuGuest.boot(words[1]!, MAC);
  await getOnline(guest, gvproxy);
  await guest.stop();
  const next = await QemuGuest.boot(words[1]!, MAC);
  await takeLease(next, 'eth0', '/etc/lease', '/tmp/lease');
  await next.run('ping -c 1 -W 2 192.168.127.1');
  await next.stop();
  assert.equal(await gvproxy.process.kill('SIGTERM'), 0, gvproxy.process.output);
}

test('a QEMU guest on -netdev dgram over unix sockets is online, and so is one that is started in its place', { skip }, async () => {
  const folder = temporaryFolder();
  await attach('QEMU with unix datagrams', { '/run/vm.sock': join(folder, 'vm'), '/run/gw.sock': join(folder, 'gw') });
});

test('a QEMU guest on -netdev socket,udp is online, and so is one that is started in its place', { skip }, () =>
  attach('QEMU over UDP', { '127.0.0.1:4000': `127.0.0.1:${freePort()}`, '127.0.0.1:4001': `127.0.0.1:${freePort()}` }),
);

test('a QEMU guest that listens on -netdev socket,listen is online, and so is one that is started in its place', { skip }, () =>
  attach('QEMU that listens', { '127.0.0.1:4000': `127.0.0.1:${freePort()}` }),
);
