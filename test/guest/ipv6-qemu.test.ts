import assert from 'node:assert/strict';
import { once } from 'node:events';
import { get } from 'node:http';
import { test } from 'node:test';
import { judgeCapture } from './capture-judge.ts';
import { freePort, Gvproxy } from './gvproxy.ts';
import { GATEWAY, HOST, PREFIX, ROUTER } from './ipv6-guest.ts';
import { randomBytes, serveFiles, serveHash, sha256 } from './host-servers.ts';
import { QemuGuest } from './qemu.ts';
import { missing } from './requirement.ts';

const skip = missing('qemu-system-x86_64', 'busybox', 'cpio', 'tshark', 'apt-get', 'dpkg-deb', 'depmod');
const BULK = 50_000_000;

/** What a kernel makes of the MAC address 5a:94:ef:e4:0c:`last`. */
const own = (last: string): string => `${PREFIX}:5894:efff:fee4:c${last}`;

/** The guest's kernel has heard of the router, and tested the address that it has made, in ten seconds. */
async function configured(guest: QemuGuest, address: string): Promise<void> {
  const ready = `ip -6 addr show dev eth0 | grep -v tentative | grep -q 'inet6 ${address}/64' && ip -6 route | grep -q ^default`;
  await guest.run(`i=0; until ${ready}; do i=$((i+1)); [ $i -lt 50 ] || break; usleep 200000; done; ip -6 addr; ${ready}`);
}

async function fetchText(url: string): Promise<string> {
  const request = get(url, { timeout: 10_000 });
  const [response] = (await once(request, 'response')) as [AsyncIterable<Buffer>];
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

test('a QEMU guest without IPv4 gets online by router advertisements alone', { skip }, async () => {
  const port = freePort();
  const gvproxy = await Gvproxy.start({ capture: true, flags: ['-subnet6', `${PREFIX}::/64`, '-ipv4=false'] });
  const guest = await QemuGuest.boot(`stream,id=n0,server=off,addr.type=unix,addr.path=${gvproxy.socket}`, '5a:94:ef:e4:0c:ee');
  await configured(guest, own('ee'));
  assert.match(await guest.run('ip -6 route'), new RegExp(`^default via ${ROUTER} dev eth0 `, 'm'));
  assert.doesNotMatch(await guest.run('ip addr show dev eth0'), /inet /);
  for (const address of [GATEWAY, HOST]) await guest.run(`ping -c 2 -W 2 ${address}`);

  await guest.run(`echo nameserver ${GATEWAY} > /etc/resolv.conf`);
  assert.match(await guest.run('nslookup -type=aaaa host.containers.internal'), new RegExp(`Address: ${HOST}$`, 'm'));
  await guest.run('ping -c 1 -W 2 gateway.docker.internal');

  const blob = randomBytes(BULK);
  const files = await serveFiles(new Map([['/blob', blob]]), '::1');
  const hashes = await serveHash('::1');
  try {
    await guest.run(`wget -q -O /tmp/blob http://host.containers.internal:${files.port}/blob`);
    assert.equal((await guest.run('sha256sum < /tmp/blob')).slice(0, 64), sha256(blob));
    assert.equal((await guest.run(`nc ${HOST} ${hashes.port} < /tmp/blob`)).trim(), sha256(blob));
    await guest.run('rm /tmp/blob');
  } finally {
    files.server.close();
    hashes.server.close();
  }
  const refused = await guest.attempt(`nc -w 5 ${HOST} 1 < /dev/null`);
  assert.notEqual(refused.status, 0);
  assert.match(refused.output, /refused/);

  await guest.run('echo hello from the guest > /www/index.html; httpd -p 80 -h /www');
  const asked = JSON.stringify({ local: `[::1]:${port}`, remote: ':80' });
  await guest.run(`wget -q -O - --post-data='${asked}' 'http://[${GATEWAY}]/services/forwarder/expose'`);
  assert.equal(await fetchText(`http://[::1]:${port}/index.html`), 'hello from the guest\n');
  await guest.stop();
  assert.equal(await gvproxy.process.ended, 0, gvproxy.process.output);
  await judgeCapture(gvproxy.capture, { lossless: true, frames: 50_000 });
});

test('two QEMU guests find each other by neighbour discovery, ping and fetch', { skip }, async () => {
  const gvproxy = await Gvproxy.start({ flags: ['-subnet6', `${PREFIX}::/64`] });
  const netdev = `stream,id=n0,server=off,addr.type=unix,addr.path=${gvproxy.socket}`;
  const guests = await Promise.all(['ee', 'ef'].map((last) => QemuGuest.boot(netdev, `5a:94:ef:e4:0c:${last}`)));
  const [one, other] = [guests[0]!, guests[1]!];
  await Promise.all([configured(one, own('ee')), configured(other, own('ef'))]);
  await other.run('head -c 3000000 /dev/urandom > /www/blob; httpd -p 80 -h /www');
  for (const address of [own('ef'), 'fe80::5894:efff:fee4:cef%eth0']) await one.run(`ping -c 2 -W 2 ${address}`);
  const theirs = await other.run('sha256sum < /www/blob');
  assert.equal(await one.run(`wget -q -O - 'http://[${own('ef')}]/blob' | sha256sum`), theirs);
  // What is gone answers no solicitation: the guest's kernel finds out by itself.
  await other.stop();
  await one.run('ip -6 neigh flush dev eth0');
  const gone = await one.attempt(`nc -w 10 ${own('ef')} 80 < /dev/null`);
  assert.match(gone.output, /No route to host/);
  await one.stop();
  assert.equal(await gvproxy.process.ended, 0, gvproxy.process.output);
});
