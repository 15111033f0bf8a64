/** vsock for real: one QEMU guest, whose kernel has vsock_loopback, is host and VM at once. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { ROOT, succeed, temporaryFolder } from './process.ts';
import { QemuGuest } from './qemu.ts';
import { missing } from './requirement.ts';
import type { VsockReport } from './vsock-program.ts';

const skip = missing('qemu-system-x86_64', 'busybox', 'cpio', 'apt-get', 'dpkg-deb', 'depmod', 'sshd', 'ssh-keygen', 'curl', 'nslookup');
const MAC = '5a:94:ef:e4:0c:ee';
const NODE = '$(cat /etc/node)';
/** In the order in which they must be loaded. */
const MODULES = ['vsock', 'vmw_vsock_virtio_transport_common', 'vsock_loopback', 'tun'];
/** Node under emulation takes its time. */
const SLOW = 120_000;

let guest: QemuGuest | undefined;

before(async () => {
  if (skip !== false) return;
  const image = join(temporaryFolder(), 'image.cpio');
  await succeed(process.execPath, [join(ROOT, 'scripts/guest/build-guestwire.mjs'), image], SLOW);
  guest = await QemuGuest.boot('user,id=n0,restrict=on', MAC, { programs: true, image });
  for (const name of MODULES) await guest.run(`insmod /modules/${name}.ko`);
});

after(async () => {
  await guest?.stop();
});

/** Waits in the guest for a line of a log. */
async function logged(file: string, text: string, times = 1): Promise<void> {
  const count = `[ "$(grep -c '${text}' ${file})" = ${times} ]`;
  await guest!.run(`i=0; until ${count} || [ $i = 200 ]; do sleep 0.3; i=$((i+1)); done; cat ${file}; ${count}`, SLOW);
}

test('§5.1, §13.1: a gvproxy in the guest serves all of its API, and VMs, over vsock', { skip }, async () => {
  await guest!.run(
    `${NODE} /guestwire/bin/gvproxy -ssh-port -1 -listen vsock://:1024 -services vsock://1:1025 > /tmp/gvproxy.log 2>&1 & echo $! > /tmp/gvproxy.pid`,
  );
  await logged('/tmp/gvproxy.log', 'listening on vsock:', 2);
  const report = JSON.parse(await guest!.run(`${NODE} /guestwire/build/test/guest/vsock-program.js 1024 2>&1`, SLOW)) as VsockReport;
  assert.equal(report.localCid, 1, 'a machine with nothing but the loopback');
  assert.equal(report.peer, 'local(1):1024');
  assert.deepEqual(report.statuses, [200, 200, 404]);
  assert.equal(report.sameConnection, true);
  assert.match(report.lease, /^192\.168\.127\.\d+$/);
  assert.equal(report.ports.length, 1);
  assert.match(report.ports[0]!, /^local\(1\):\d+$/);
  assert.deepEqual([report.echoed, report.tunnelled], [512 << 10, 512 << 10]);
  assert.match(report.events, /lease/);
  assert.match(report.refused, /^connect ECONNRESET local\(1\):9: connection reset by peer \(nobody listens there\)$/);
});
