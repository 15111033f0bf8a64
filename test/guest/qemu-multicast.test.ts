/** Two QEMU guests on one multicast group, and gvproxy as its third member. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { documented } from './documented.ts';
import { runErrands, takeLease } from './errands.ts';
import { Gvproxy } from './gvproxy.ts';
import { enterOwnNetwork } from './own-network.ts';
import { QemuGuest } from './qemu.ts';
import { missing } from './requirement.ts';

const skip = missing('root', 'ip', 'qemu-system-x86_64', 'busybox', 'cpio', 'apt-get', 'dpkg-deb', 'depmod');
const MACS = ['5a:94:ef:e4:0c:ee', '52:54:00:12:34:56'];
const SIZE = 2_000_000;

test('two QEMU guests joined by -netdev socket,mcast reach each other, and by way of gvproxy the host', { skip }, async () => {
  await QemuGuest.prepare();
  await enterOwnNetwork();
  const { flags, guest: words } = documented('QEMUs on a multicast group');
  const gvproxy = await Gvproxy.start({ kind: 'none', flags });
  const guests = await Promise.all(MACS.map((mac) => QemuGuest.boot(words[1]!, mac)));
  const addresses: string[] = [];
  for (const [index, guest] of guests.entries()) {
    const lease = await takeLease(guest, 'eth0', '/etc/lease', '/tmp/lease');
    addresses.push(/^ip=(.*)$/m.exec(lease)![1]!);
    await guest.run(`echo I am ${index} > /www/index.html; head -c ${SIZE} /dev/urandom > /www/blob; httpd -p 80 -h /www`);
  }
  assert.equal(addresses[0], '192.168.127.2');
  assert.notEqual(addresses[0], addresses[1]);
  for (const [index, guest] of guests.entries()) {
    const other = addresses[1 - index]!;
    await guest.run(`ping -c 2 -W 2 ${other}`);
    assert.equal(await guest.run(`wget -q -O - http://${other}/`), `I am ${1 - index}\n`);
    const theirs = await guests[1 - index]!.run('sha256sum < /www/blob');
    assert.equal(await guest.run(`wget -q -O - http://${other}/blob | sha256sum`), theirs);
    await runErrands(guest, SIZE);
  }
  await guests[0]!.stop();
  await guests[1]!.run('ping -c 1 -W 2 192.168.127.1');
  await guests[1]!.stop();
  assert.equal(await gvproxy.process.kill('SIGTERM'), 0, gvproxy.process.output);
});
