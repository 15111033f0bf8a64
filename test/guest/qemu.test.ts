import assert from 'node:assert/strict';
import { get } from 'node:http';
import { test } from 'node:test';
import { documented } from './documented.ts';
import { Gvproxy, freePort } from './gvproxy.ts';
import { judgeCapture } from './capture-judge.ts';
import { randomBytes, serveFiles, serveHash, sha256 } from './host-servers.ts';
import { QemuGuest } from './qemu.ts';
import { missing } from './requirement.ts';

const skip = missing('qemu-system-x86_64', 'busybox', 'cpio', 'tshark', 'apt-get', 'dpkg-deb', 'depmod');
const MAC = '5a:94:ef:e4:0c:ee';
const SIZE = 50_000_000;

/** Everything one guest must be able to do. */
async function exercise(guest: QemuGuest, gvproxy: Gvproxy): Promise<void> {
  await guest.run('udhcpc -i eth0 -n -q -t 5 -T 1 -s /etc/lease');
  const lease = await guest.run('cat /tmp/lease');
  for (const line of ['ip=192.168.127.2', 'mask=24', 'router=192.168.127.1', 'dns=192.168.127.1', 'mtu=1500', 'lease=3600']) {
    assert.ok(lease.split('\n').includes(line), `${line} in the lease:\n${lease}`);
  }
  await guest.run('ping -c 2 -W 2 192.168.127.1');
  await guest.run('ping -c 2 -W 2 192.168.127.254');
  assert.match(await guest.run('nslookup host.containers.internal'), /192\.168\.127\.254/);
  assert.match(await guest.run('nslookup gateway.docker.internal'), /192\.168\.127\.1\b/);

  const blob = randomBytes(SIZE);
  const files = await serveFiles(new Map([['/blob', blob]]));
  const hashes = await serveHash();
  try {
    const down = await guest.run(`wget -q -O - http://192.168.127.254:${files.port}/blob | sha256sum`);
    assert.equal(down.trim().split(' ')[0], sha256(blob));
    await guest.run(`wget -q -O /tmp/blob http://host.containers.internal:${files.port}/blob`);
    const up = await guest.run(`nc 192.168.127.254 ${hashes.port} < /tmp/blob`);
    assert.equal(up.trim(), sha256(blob));
    await guest.run('rm /tmp/blob');
  } finally {
    files.server.close();
    hashes.server.close();
  }
  const refused = await guest.attempt('nc -w 5 192.168.127.254 1 < /dev/null');
  assert.notEqual(refused.status, 0);
  assert.match(refused.output, /refused/);

  await guest.run('echo hello from the guest > /www/index.html; httpd -p 22 -h /www');
  assert.equal(await fetchText(gvproxy.sshPort), 'hello from the guest\n');
}

function fetchText(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port, path: '/index.html', timeout: 10_000 }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => (text += chunk.toString()));
      response.on('end', () => resolve(text));
    }).on('error', reject);
  });
}

test('a QEMU guest on -netdev stream over a unix socket is online', { skip }, async () => {
  const gvproxy = await Gvproxy.start({ capture: true });
  const { guest: words } = documented('QEMU from 7.2 on', { '/run/vm.sock': gvproxy.socket });
  const guest = await QemuGuest.boot(words[1]!, MAC);
  await exercise(guest, gvproxy);
  await guest.stop();
  assert.equal(await gvproxy.process.ended, 0, gvproxy.process.output);
  await judgeCapture(gvproxy.capture, { lossless: true, frames: 50_000 });
});

test('a QEMU guest on -netdev socket,connect over TCP is online', { skip }, async () => {
  const port = freePort();
  const gvproxy = await Gvproxy.start({ capture: true, url: `tcp://127.0.0.1:${port}` });
  const { guest: words } = documented('QEMU over TCP', { '127.0.0.1:4000': `127.0.0.1:${port}` });
  const guest = await QemuGuest.boot(words[1]!, MAC);
  await exercise(guest, gvproxy);
  await guest.stop();
  assert.equal(await gvproxy.process.ended, 0, gvproxy.process.output);
  await judgeCapture(gvproxy.capture, { lossless: true, frames: 50_000 });
});

test('two guests on one listener ping and fetch from each other', { skip }, async () => {
  const gvproxy = await Gvproxy.start();
  const netdev = `stream,id=n0,server=off,addr.type=unix,addr.path=${gvproxy.socket}`;
  const guests = await Promise.all([QemuGuest.boot(netdev, MAC), QemuGuest.boot(netdev, '52:54:00:12:34:56')]);
  const addresses: string[] = [];
  for (const [index, guest] of guests.entries()) {
    await guest.run('udhcpc -i eth0 -n -q -t 5 -T 1 -s /etc/lease');
    addresses.push(/^ip=(.*)$/m.exec(await guest.run('cat /tmp/lease'))![1]!);
    await guest.run(`echo I am ${index} > /www/index.html; head -c 3000000 /dev/urandom > /www/blob; httpd -p 80 -h /www`);
  }
  assert.equal(new Set(addresses).size, 2, addresses.join());
  for (const [index, guest] of guests.entries()) {
    const other = addresses[1 - index]!;
    await guest.run(`ping -c 2 -W 2 ${other}`);
    assert.equal(await guest.run(`wget -q -O - http://${other}/`), `I am ${1 - index}\n`);
    const theirs = await guests[1 - index]!.run('sha256sum < /www/blob');
    assert.equal(await guest.run(`wget -q -O - http://${other}/blob | sha256sum`), theirs);
  }
  await guests[0].stop();
  await guests[1].run('ping -c 1 -W 2 192.168.127.1');
  assert.equal(gvproxy.process.child.exitCode, null, 'goes on while a VM is attached');
  await guests[1].stop();
  assert.equal(await gvproxy.process.ended, 0, gvproxy.process.output);
});
