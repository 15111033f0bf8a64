/** User Mode Linux over `-listen-bess`: the line that the original's README has for it, and the same guest with DHCP. */
import assert from 'node:assert/strict';
import { type Server } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { judgeCapture } from './capture-judge.ts';
import { documented, documentedAddress } from './documented.ts';
import { runErrands, serveToHost, takeLease } from './errands.ts';
import { freePort, Gvproxy } from './gvproxy.ts';
import { serveFiles } from './host-servers.ts';
import { enterOwnNetwork } from './own-network.ts';
import { Running, succeed, until } from './process.ts';
import { missing } from './requirement.ts';
import { UmlGuest } from './uml.ts';

const skip = missing('root', 'linux.uml', 'unshare', 'busybox', 'ip', 'ping', 'curl', 'iperf3', 'tshark');
const MAC = '5a:94:ef:e4:0c:ee';
const HOST = '192.168.127.254';
/** An address outside the guest's network: the way there is the default route. */
const ELSEWHERE = '198.51.100.7';
const SIZE = 5_000_000;
/** Seconds of each measurement. */
const IPERF_TIME = 2;

function device(gvproxy: Gvproxy, mac = MAC): string {
  return documented('User Mode Linux', { '/run/vm.sock': gvproxy.socket, [MAC]: mac }).guest[0]!;
}

describe('§6.5: User Mode Linux with the address set by hand', { skip }, () => {
  let gvproxy: Gvproxy;
  let guest: UmlGuest;
  let files: { port: number; server: Server };

  before(async () => {
    await enterOwnNetwork();
    await succeed('ip', ['addr', 'add', `${ELSEWHERE}/32`, 'dev', 'lo']);
    gvproxy = await Gvproxy.start({ kind: 'bess', capture: true });
    files = await serveFiles(new Map([['/hello', Buffer.from('hello from the host')]]), '0.0.0.0');
    guest = await UmlGuest.boot(device(gvproxy));
    for (const line of documentedAddress()) await guest.run(line);
    await guest.run('echo nameserver 192.168.127.1 > /etc/resolv.conf');
  });
  after(async () => {
    files?.server.close();
    await guest?.stop();
    await gvproxy?.process.kill();
  });

  test('pings gateway and host, resolves, and moves hashed bytes both ways', async () => {
    assert.match(await guest.run('ping -c 3 -i 0.2 -W 2 192.168.127.1'), / 0% packet loss/);
    assert.match(await guest.run(`ping -c 3 -i 0.2 -W 2 ${HOST}`), / 0% packet loss/);
    await runErrands(guest, SIZE);
  });

  test('curls the host by address, by name and beyond the default route, and is reached from it', async () => {
    assert.match(await guest.run(`ping -c 1 -W 5 ${ELSEWHERE}`), / 0% packet loss/);
    for (const host of [HOST, 'host.containers.internal', 'host.docker.internal', ELSEWHERE]) {
      assert.equal(await guest.run(`curl -sS --max-time 5 http://${host}:${files.port}/hello`), 'hello from the host');
    }
    const { status } = await guest.attempt(`curl -sS --max-time 5 http://${HOST}:1/`);
    assert.equal(status, 7, 'refused');
    await serveToHost(guest, '/run/www', gvproxy.sshPort, 'hello from User Mode Linux');
  });

  test('moves data with iperf3 both ways', async (t) => {
    const port = freePort();
    const server = new Running('iperf3', ['-s', '-B', '127.0.0.1', '-p', String(port), '--forceflush']);
    await until(() => server.output.includes('Server listening'), 'iperf3');
    for (const [way, flag] of [
      ['up', ''],
      ['down', '-R'],
    ]) {
      const output = await guest.run(`iperf3 -c ${HOST} -p ${port} -t ${IPERF_TIME} -J ${flag}`);
      const rate = (JSON.parse(output) as { end: { sum_received: { bits_per_second: number } } }).end.sum_received.bits_per_second;
      t.diagnostic(`${way}: ${(rate / 1e6).toFixed(0)} Mbit/s`);
      assert.ok(rate > 20e6, `${way}: ${(rate / 1e6).toFixed(0)} Mbit/s`);
    }
    await server.kill();
  });

  test('§6.8: gvproxy ends when it shuts down, and the capture has nothing malformed, wrong or sent again', async () => {
    await guest.powerOff();
    assert.equal(await gvproxy.process.ended, 0, gvproxy.process.output);
    assert.match(gvproxy.process.output, /msg="cannot receive packets from @, disconnecting: cannot read size from socket: EOF"/);
    await judgeCapture(gvproxy.capture, { lossless: true, frames: 5_000 });
  });
});

test('§6.5: two guests get their leases by DHCP, are online, and the death of one leaves the other', { skip }, async () => {
  const gvproxy = await Gvproxy.start({ kind: 'bess' });
  const guests = await Promise.all([MAC, '52:54:00:12:34:56'].map((mac) => UmlGuest.boot(device(gvproxy, mac))));
  const [first, second] = guests as [UmlGuest, UmlGuest];
  for (const guest of guests) await guest.run('ip link set vec0 up');
  const lease = await takeLease(first, 'vec0', '/run/lease-script', '/run/lease');
  for (const line of ['ip=192.168.127.2', 'mask=24', 'router=192.168.127.1', 'dns=192.168.127.1', 'mtu=1500', 'lease=3600']) {
    assert.ok(lease.split('\n').includes(line), `${line} in the lease:\n${lease}`);
  }
  const address = /^ip=(192\.168\.127\.\d+)$/m.exec(await takeLease(second, 'vec0', '/run/lease-script', '/run/lease'))![1]!;
  assert.notEqual(address, '192.168.127.2');
  for (const guest of guests) await runErrands(guest, SIZE);
  await serveToHost(first, '/run/www', gvproxy.sshPort, 'hello from User Mode Linux');
  assert.equal(await second.run('curl -sS --max-time 5 http://192.168.127.2:22/'), 'hello from User Mode Linux\n');
  await first.run(`ping -c 1 -W 2 ${address}`);
  await first.stop();
  await runErrands(second, SIZE);
  await second.stop();
  assert.equal(await gvproxy.process.ended, 0, gvproxy.process.output);
});
