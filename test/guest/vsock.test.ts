/** vsock for real: one QEMU guest, whose kernel has vsock_loopback, is host and VM at once. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { ROOT, succeed, temporaryFolder } from './process.ts';
import { QemuGuest } from './qemu.ts';
import { missing } from './requirement.ts';
import type { VsockReport } from './vsock-program.ts';

const skip = missing('qemu-system-x86_64', 'busybox', 'cpio', 'apt-get', 'dpkg-deb', 'depmod', 'sshd', 'ssh-keygen', 'curl', 'nslookup');
const MAC = '5a:94:ef:e4:0c:ee';
const NODE = '$(cat /etc/node)';
const KEY = '/tmp/key';
const FORWARDER = '/guestwire/bin/gvforwarder';
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

test('§15.1: a gvforwarder beside it brings an interface up over vsock, and data moves both ways', { skip }, async () => {
  await guest!.run(`${NODE} ${FORWARDER} -url vsock://1:1024/connect -stop-if-exist "" -dhcp own > /tmp/gvforwarder.log 2>&1 &`);
  await guest!.run('i=0; until ip -4 addr show tap0 | grep -q inet || [ $i = 200 ]; do sleep 0.3; i=$((i+1)); done', SLOW);
  const shown = await guest!.run('ip addr show tap0; ip route; cat /tmp/gvforwarder.log');
  assert.match(shown, /link\/ether 5a:94:ef:e4:0c:ee[^]*inet 192\.168\.127\.2\/24[^]*default via 192\.168\.127\.1 dev tap0/);
  await guest!.run('ping -c 3 -W 5 192.168.127.1');
  assert.match(await guest!.run('nslookup host.containers.internal'), /192\.168\.127\.254/);

  // The gateway's way out is this machine's own loopback.
  await guest!.run('head -c 4000000 /dev/urandom > /www/blob; httpd -p 127.0.0.1:8080 -h /www');
  const sum = (await guest!.run('sha256sum < /www/blob')).trim();
  const down = await guest!.run('wget -q -O - http://192.168.127.254:8080/blob | sha256sum', SLOW);
  assert.equal(down.trim(), sum);
  // nc ends when its peer does; the server's own input must stay open until then.
  await guest!.run('mkfifo /tmp/hold; exec 9<>/tmp/hold; nc -l -p 9000 <&9 > /tmp/up & echo $! > /tmp/nc.pid');
  const up = 'sleep 0.5; nc 192.168.127.254 9000 < /www/blob; wait $(cat /tmp/nc.pid); exec 9>&-; sha256sum < /tmp/up';
  assert.equal((await guest!.run(up, SLOW)).trim(), sum);
});

test('§15.4: ssh-over-vsock reaches the SSH server behind that interface, over vsock', { skip }, async () => {
  await guest!.run('mkdir -p /dev/pts && mount -t devpts devpts /dev/pts; chmod 755 / /run /run/sshd');
  const key = join(temporaryFolder(), 'key');
  await succeed('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key]);
  const sent = (from: string, to: string): Promise<string> =>
    guest!.run(`echo ${readFileSync(from).toString('base64')} | base64 -d > ${to}`);
  await sent(key, KEY);
  await sent(`${key}.pub`, '/etc/ssh/authorized_keys');
  await guest!.run('/usr/sbin/sshd');
  const program = `${NODE} /guestwire/bin/ssh-over-vsock`;
  const listing = await guest!.run(`${program} -url vsock://1:1024 -user root -key ${KEY}`, SLOW);
  assert.match(listing, /^PID +USER[^]*sshd/);
});

test('§4.5: it gives its ports back when it ends', { skip }, async () => {
  await guest!.run('kill $(cat /tmp/gvproxy.pid)');
  await logged('/tmp/gvproxy.log', 'gvproxy exiting: signal caught');
  assert.match(
    (await guest!.attempt(`${NODE} /guestwire/bin/ssh-over-vsock -url vsock://1:1024 -key ${KEY}`, SLOW)).output,
    /nobody listens there/,
  );
});
