import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { judgeCapture } from './capture-judge.ts';
import { freePort, Gvproxy } from './gvproxy.ts';
import { RAW, routerAdvertisement } from './ipv6-frames.ts';
import { configured, GATEWAY, HOST, OWN, PREFIX, ROUTER } from './ipv6-guest.ts';
import { randomBytes, serveFiles, serveHash, sha256 } from './host-servers.ts';
import { Namespace } from './namespace.ts';
import { succeed, temporaryFolder, until } from './process.ts';
import { missing } from './requirement.ts';

const skip = missing('root', 'tun', 'ip', 'dig', 'dhclient', 'curl', 'python3', 'ping', 'tshark');
const BULK = 50_000_000;

const UDP_ECHO = `
import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.bind(('::', 8081))
print('ready')
while True:
    data, peer = s.recvfrom(65536)
    s.sendto(data, peer)`;

for (const [name, flags, ipv4] of [
  ['beside IPv4', [`-subnet6`, `${PREFIX}::/64`], true],
  ['alone', ['-subnet6', `${PREFIX}::/64`, '-ipv4=false'], false],
] as const)
  describe(`a guest with IPv6 ${name}`, { skip }, () => {
    let gvproxy: Gvproxy;
    let guest: Namespace;
    const api = join(temporaryFolder(), 'api.sock');

    before(async () => {
      gvproxy = await Gvproxy.start({ capture: ipv4, flags: [...flags, '-listen', `unix://${api}`] });
      guest = await Namespace.create(gvproxy.socket);
    });
    after(() => guest.remove());

    test('configures itself by the router alone', async () => {
      await configured(guest);
      const route = await guest.succeed('ip', '-6', 'route');
      assert.match(route, new RegExp(`^default via ${ROUTER} dev tap0 .*$`, 'm'));
      assert.match(await guest.succeed('ip', '-6', 'addr'), /valid_lft forever preferred_lft forever/);
    });

    test('pings the gateway, its link-local address and the host, with payloads that are fragmented on the way', async () => {
      for (const address of [GATEWAY, `${ROUTER}%tap0`, HOST]) {
        for (const size of ['8', '1452', '1453', '9000', '60000']) {
          assert.match(
            await guest.succeed('ping', '-6', '-c', '1', '-W', '2', '-s', size, address),
            / 0% packet loss/,
            `${address} ${size}`,
          );
        }
      }
    });

    test('takes an address and the resolver from dhclient -6, and is the device', async () => {
      const lease = join(gvproxy.folder, 'lease6');
      const files = ['-lf', lease, '-pf', join(gvproxy.folder, 'pid6')];
      await guest.succeed('timeout', '30', 'dhclient', '-6', '-1', '-sf', '/bin/true', ...files, 'tap0');
      await guest.succeed('timeout', '10', 'dhclient', '-6', '-x', '-sf', '/bin/true', ...files, 'tap0');
      const text = readFileSync(lease, 'utf8');
      assert.ok(text.includes(`iaaddr ${PREFIX}::2 {`), text);
      assert.ok(text.includes(`option dhcp6.name-servers ${GATEWAY};`), text);
      const informed = join(gvproxy.folder, 'informed');
      await guest.succeed(
        'timeout',
        '30',
        'dhclient',
        '-6',
        '-S',
        '-1',
        '-sf',
        '/bin/true',
        '-lf',
        informed,
        '-pf',
        join(gvproxy.folder, 'pidS'),
        'tap0',
      );
      await guest.run('dhclient', '-6', '-S', '-x', '-sf', '/bin/true', '-lf', informed, '-pf', join(gvproxy.folder, 'pidS'), 'tap0');
      const leases = await succeed('curl', ['-sS', '--unix-socket', api, 'http:/unix/services/dhcp/leases']);
      assert.equal((JSON.parse(leases) as Record<string, string>)[`${PREFIX}::2`], '5a:94:ef:e4:0c:ee');
    });

    test('resolves over IPv6, by UDP and TCP', async () => {
      const dig = (...args: string[]): Promise<string> => guest.succeed('dig', '+short', '+time=3', '+tries=1', `@${GATEWAY}`, ...args);
      assert.equal(await dig('AAAA', 'host.containers.internal'), `${HOST}\n`);
      assert.equal(await dig('+tcp', 'AAAA', 'gateway.containers.internal'), `${GATEWAY}\n`);
      assert.equal(await dig('A', 'host.containers.internal'), ipv4 ? '192.168.127.254\n' : '');
    });

    test("fetches from a server on the host's ::1, by name, and sends to it: 50 MB each way with the right hash", async () => {
      const bulk = randomBytes(BULK);
      const files = await serveFiles(new Map([['/bulk', bulk]]), '::1');
      const fetched = await guest.succeed('sh', '-c', `curl -6 -sS --fail http://[${HOST}]:${files.port}/bulk | sha256sum`);
      assert.equal(fetched.slice(0, 64), sha256(bulk));
      files.server.close();
      const hash = await serveHash('::1');
      const program = `
import socket, hashlib, os
s = socket.create_connection(('${HOST}', ${hash.port}))
data = os.urandom(${BULK})
s.sendall(data)
s.shutdown(socket.SHUT_WR)
told = s.makefile().readline().strip()
assert told == hashlib.sha256(data).hexdigest(), told
print('the same')
`;
      assert.equal(await guest.succeed('python3', '-c', program), 'the same\n');
      hash.server.close();
    });

    test('talks UDP with the host, datagrams larger than the MTU too', async () => {
      const echo = createSocket('udp6');
      echo.on('message', (message, peer) => echo.send(message, peer.port, peer.address));
      echo.bind(0, '::1');
      await once(echo, 'listening');
      const program = `
import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.settimeout(3)
s.connect(('${HOST}', ${echo.address().port}))
for size in (0, 1, 1452, 1453, 20000, 60000):
    s.send(b'x' * size)
    assert s.recv(65536) == b'x' * size, size
print('all')
`;
      assert.equal(await guest.succeed('python3', '-c', program), 'all\n');
      echo.close();
    });

    test('hears at once of ports that are closed', async () => {
      const closed = createServer().listen(0, '::1');
      await once(closed, 'listening');
      const { port } = closed.address() as { port: number };
      closed.close();
      const { stderr, status } = await guest.run('curl', '-6', '-sS', '--max-time', '20', `http://[${HOST}]:${port}/`);
      assert.match(stderr, /Connection refused|Failed to connect/);
      assert.notEqual(status, 0);
      const udp = `
import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.settimeout(3)
s.connect(('${HOST}', ${port}))
s.send(b'x')
try:
    s.recv(1)
except ConnectionRefusedError:
    print('refused')
`;
      assert.equal(await guest.succeed('python3', '-c', udp), 'refused\n');
    });

    if (ipv4)
      test('reaches another VM, and takes nothing from it', async () => {
        const other = await Namespace.create(gvproxy.socket, '5a:94:ef:e4:0c:ef');
        const address = `${PREFIX}:5894:efff:fee4:cef`;
        await configured(other, address);
        assert.match(await guest.succeed('ping', '-6', '-c', '2', '-i', '0.2', '-W', '2', address), / 0% packet loss/);
        const server = other.start('python3', '-m', 'http.server', '--bind', '::', '8080');
        const fetched = await guest.run(
          'curl',
          '-6',
          '-sS',
          '--retry',
          '20',
          '--retry-connrefused',
          '--retry-delay',
          '1',
          `http://[${address}]:8080/`,
        );
        assert.match(fetched.stdout, /Directory listing/);
        await server.kill();
        // The kernel finds out that somebody has the address, before it uses it.
        await other.succeed('ip', 'addr', 'add', `${OWN}/64`, 'dev', 'tap0');
        await configured(other, address);
        assert.match(await other.succeed('ip', '-6', 'addr', 'show', 'dev', 'tap0'), new RegExp(`${OWN}/64 .*dadfailed`));
        // Nor a router of it, without any flag: the first VM goes on with what the gateway says.
        await other.succeed('python3', '-c', RAW, '3', routerAdvertisement('fe80::5894:efff:fee4:cef'));
        assert.match(await guest.succeed('ping', '-6', '-c', '1', '-W', '2', address), / 0% packet loss/);
        assert.doesNotMatch(await guest.succeed('ip', '-6', 'addr', 'show', 'dev', 'tap0'), /fd66:/);
        const routes = await guest.succeed('ip', '-6', 'route', 'show', 'default');
        assert.ok(routes.includes(ROUTER) && !routes.includes('cef'), routes);
        const stats = await succeed('curl', ['-sS', '--unix-socket', api, 'http:/unix/v1/counters']);
        assert.match(stats, /"dropRouter":3\b/);
        await other.remove();
      });

    test('is reached from the host through ports, one of which it has exposed itself', async () => {
      const server = guest.start('python3', '-m', 'http.server', '--bind', '::', '8080');
      const expose = ['http:/unix/services/forwarder/expose', '-d'];
      const [port, own] = [freePort(), freePort()];
      const body = JSON.stringify({ local: `[::1]:${port}`, remote: `[${OWN}]:8080` });
      await succeed('curl', ['-sS', '--fail', '--unix-socket', api, ...expose, body]);
      const asked = JSON.stringify({ local: `[::1]:${own}`, remote: ':8080' });
      await guest.succeed('curl', '-6', '-sS', '--fail', `http://[${GATEWAY}]/services/forwarder/expose`, '-d', asked);
      for (const each of [port, own]) {
        const options = ['-sS', '--fail', '--retry', '20', '--retry-connrefused', '--retry-all-errors', '--retry-delay', '1'];
        assert.match(await succeed('curl', [...options, `http://[::1]:${each}/`]), /Directory listing/);
      }
      const echo = guest.start('python3', '-u', '-c', UDP_ECHO);
      const datagrams = JSON.stringify({ local: `[::1]:${port}`, remote: `[${OWN}]:8081`, protocol: 'udp' });
      await succeed('curl', ['-sS', '--fail', '--unix-socket', api, ...expose, datagrams]);
      const client = createSocket('udp6');
      client.connect(port, '::1');
      await once(client, 'connect');
      await until(() => echo.output.includes('ready'), `the guest's echo:\n${echo.output}`);
      for (const size of [0, 1, 1452, 1453, 20_000]) {
        client.send(Buffer.alloc(size, 'y'));
        const [answer] = (await once(client, 'message', { signal: AbortSignal.timeout(5000) })) as [Buffer];
        assert.deepEqual(answer, Buffer.alloc(size, 'y'), `${size}`);
      }
      client.close();
      await echo.kill();
      const forwards = await succeed('curl', ['-sS', '--unix-socket', api, 'http:/unix/services/forwarder/all']);
      assert.ok(forwards.includes(`"remote":"[${OWN}]:8080"`), forwards);
      await server.kill();
    });

    if (ipv4)
      test('tshark finds nothing wrong with any frame', async () => {
        await judgeCapture(gvproxy.capture, { lossless: true, frames: 20_000 });
      });
  });
