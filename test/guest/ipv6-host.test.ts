/** A guest's IPv6 and the host's own: servers here and beyond routers, translated addresses, forwards, and a host that has none. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { configured, GATEWAY, HOST, OWN, PREFIX } from './ipv6-guest.ts';
import { Ipv6World } from './ipv6-world.ts';
import { succeed } from './process.ts';
import { missing } from './requirement.ts';

const PEER = 'fd77:2::2';
/** What the host is called by its peers. */
const HOST_OUTSIDE = 'fd77:1::2';

const CONFIG = `
stack:
  subnet6: ${PREFIX}::/64
  nat: { 192.168.127.254: 127.0.0.1, "${PREFIX}:0:0:0:99": "${PEER}", "2001:db8::7": "::1", "fd77:2::3": "::1", 10.77.2.3: 127.0.0.1 }
  gatewayVirtualIPs: [192.168.127.254, "${PREFIX}::99"]
  dns:
  - name: world.test.
    records:
    - { name: both, ip: 10.77.2.2 }
    - { name: both, ip: "${PEER}" }
    - { name: far, ip: "fd77:9::1" }
    - { name: far, ip: 10.77.2.2 }
`;

/** Sends so many bytes to a server of UDP, and prints what it answers, or the error. */
const SAY = `
import socket, sys
s = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(*((socket.IPPROTO_IPV6, 25) if ':' in sys.argv[1] else (socket.IPPROTO_IP, 11)), 1)  # IPV6_RECVERR, IP_RECVERR
if len(sys.argv) > 4: s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, int(sys.argv[4]))
s.settimeout(3)
s.connect((sys.argv[1], int(sys.argv[2])))
try:
    s.send(b'x' * int(sys.argv[3]))
    print(s.recv(100).decode())
except OSError as error:
    print(error.strerror or type(error).__name__)`;

const skip = missing('root', 'tun', 'ip', 'sysctl', 'curl', 'dig', 'python3', 'ping');
describe("a guest's IPv6 and the host's own", { skip }, () => {
  let world: Ipv6World;

  before(async () => {
    world = await Ipv6World.create(CONFIG, GATEWAY);
    await world.serve(world.peer, 'peer');
    await world.serve(world.host, 'host');
    await world.serve(world.guest.name, 'guest');
    await configured(world.guest);
  });
  after(() => world.remove());

  const curl = (namespace: string, url: string, ...args: string[]): Promise<string> =>
    world.in(namespace, 'curl', '-sS', '--fail', '--max-time', '20', ...args, url);
  const say = (namespace: string, to: string, port: number, size = 1, ...hops: string[]): Promise<string> =>
    world.in(namespace, 'python3', '-c', SAY, to, `${port}`, `${size}`, ...hops);

  test("fetches from the host's ::1, and from a peer beyond a router, who sees the host", async () => {
    const { name } = world.guest;
    assert.equal(await curl(name, `http://[${HOST}]:8080/`, '-6'), 'host ::1\n');
    assert.equal(await curl(name, `http://[${PEER}]:8080/`, '-6'), `peer ${HOST_OUTSIDE}\n`);
    assert.equal(await curl(name, 'http://both.world.test:8080/', '-6'), `peer ${HOST_OUTSIDE}\n`);
    assert.equal(await curl(name, 'http://both.world.test:8080/', '-4'), 'peer 10.77.1.2\n');
    assert.equal(await say(name, PEER, 8081, 1000), `peer ${HOST_OUTSIDE} 1000\n`);
    assert.equal(await say(name, HOST, 8081, 1000), 'host ::1 1000\n');
    // Conversations that just were, of both versions, each with the remote address that the guest knows.
    assert.equal(await say(name, '192.168.127.254', 8081, 1), 'host 127.0.0.1 1\n');
    const listing = await succeed('curl', ['-sS', '--fail', '--unix-socket', world.api, 'http:/unix/v1/flows']);
    const { flows } = JSON.parse(listing) as { flows: { protocol: string; guest: string; remote: string; remotePort: number }[] };
    const seen = flows.filter(({ remotePort }) => remotePort === 8081).map(({ guest, remote }) => `${guest} ${remote}`);
    assert.deepEqual(seen.toSorted(), ['192.168.127.2 192.168.127.254', `${OWN} ${HOST}`, `${OWN} ${PEER}`].toSorted());
  });

  test('§3.2: reaches what nat of the configuration file says, by addresses of its network and others', async () => {
    const { name } = world.guest;
    assert.equal(await curl(name, `http://[${PREFIX}::99]:8080/`), `peer ${HOST_OUTSIDE}\n`);
    assert.equal(await curl(name, 'http://[2001:db8::7]:8080/'), 'host ::1\n');
    assert.equal(await say(name, `${PREFIX}::99`, 8081), `peer ${HOST_OUTSIDE} 1\n`);
    assert.match(await world.guest.succeed('ping', '-c', '1', '-W', '2', `${PREFIX}::99`), / 0% packet loss/);
    const ports = await world.guest.run('curl', '-sS', `http://[${PREFIX}::99]:9/`);
    assert.match(ports.stderr, /Connection refused|Failed to connect/);
  });

  test('pings the peer, and hears from the router on the way where the hops of a datagram are used up', async () => {
    assert.match(await world.guest.succeed('ping', '-6', '-c', '2', '-i', '0.2', '-W', '2', PEER), / 0% packet loss/);
    assert.equal(await say(world.guest.name, PEER, 8081, 12, '1'), 'No route to host\n');
    assert.equal(await say(world.guest.name, PEER, 8081, 12, '2'), `peer ${HOST_OUTSIDE} 12\n`);
  });

  test('learns from the router what fits the way, and both directions of TCP go on over it', async () => {
    const probe = `
import socket, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IPV6, 23, 2)  # IPV6_MTU_DISCOVER: IPV6_PMTUDISC_DO
s.settimeout(3)
s.connect(('${PEER}', 8081))
said = []
for size in (1252, 1400, 1253, 1252):
    try:
        s.send(b'x' * size)
        said.append(s.recv(100).decode())
    except OSError as error:
        said.append(error.strerror)
said.append(s.getsockopt(socket.IPPROTO_IPV6, 24))  # IPV6_MTU
print(said)`;
    const answer = `'peer ${HOST_OUTSIDE} 1252'`;
    assert.equal(
      await world.guest.succeed('python3', '-c', probe),
      `[${answer}, 'Message too long', 'Message too long', ${answer}, 1300]\n`,
    );
    // Its kernel fragments by itself from now on.
    assert.equal(await say(world.guest.name, PEER, 8081, 20_000), `peer ${HOST_OUTSIDE} 20000\n`);
    const bulk = await curl(world.guest.name, `http://[${PEER}]:8080/bulk`);
    assert.equal(bulk.length, `peer ${HOST_OUTSIDE}\n`.length + 5_000_000);
    const upload = `head -c 5000000 /dev/zero | curl -sS --fail --max-time 20 --data-binary @- http://[${PEER}]:8080/`;
    assert.equal(await world.guest.succeed('sh', '-c', upload), '5000000\n');
  });

  test('is told at once what routers say of networks that are not reached', async () => {
    const started = performance.now();
    assert.equal(await say(world.guest.name, 'fd77:9::1', 8081), 'Network is unreachable\n');
    assert.equal(await say(world.guest.name, 'fd77:4::1', 8081), 'Permission denied\n');
    const { stderr } = await world.guest.run('curl', '-6', '-sS', 'http://[fd77:4::1]:8080/');
    assert.match(stderr, /Failed to connect|Couldn't connect/);
    assert.ok(performance.now() - started < 5000, `${performance.now() - started} ms`);
  });

  test('is reached through ports of ::1 and of every address, and sees clients of its version as they are', async () => {
    await world.expose('tcp', '[::1]:9001', `[${OWN}]:8080`);
    await world.expose('tcp', ':9002', `[${OWN}]:8080`);
    await world.expose('tcp', '[::]:9003', '192.168.127.2:8080');
    await world.expose('udp', '[::1]:9001', `[${OWN}]:8081`);
    await world.expose('udp', ':9002', `[${OWN}]:8081`);
    await world.expose('udp', '[::]:9003', '192.168.127.2:8081');
    // Namespace, host and port that are asked; who the guest sees.
    const cases: [string, string, number, string][] = [
      [world.host, '[::1]', 9001, GATEWAY],
      [world.host, '[::1]', 9002, GATEWAY],
      [world.host, '127.0.0.1', 9002, GATEWAY],
      [world.host, '[::1]', 9003, '192.168.127.1'],
      [world.host, '127.0.0.1', 9003, '192.168.127.1'],
      [world.peer, `[${HOST_OUTSIDE}]`, 9002, PEER],
      [world.peer, '10.77.1.2', 9002, GATEWAY],
      [world.peer, `[${HOST_OUTSIDE}]`, 9003, '192.168.127.1'],
      [world.peer, '10.77.1.2', 9003, '10.77.2.2'],
    ];
    for (const [from, host, port, seen] of cases) {
      assert.equal(await curl(from, `http://${host}:${port}/`), `guest ${seen}\n`, `${host}:${port}`);
      assert.equal(await say(from, host.replaceAll(/[[\]]/g, ''), port, 1200), `guest ${seen} 1200\n`, `udp ${host}:${port}`);
    }
    // Guests who answer these addresses would talk to the host.
    for (const address of ['fd77:2::3', '10.77.2.3']) {
      await world.ip(world.peer, 'addr', 'add', `${address}/${address.includes(':') ? 64 : 24}`, 'dev', 'down0', 'nodad');
      const [asked, port, seen] = address.includes(':') ? [`[${HOST_OUTSIDE}]`, 9002, GATEWAY] : ['10.77.1.2', 9003, '192.168.127.1'];
      assert.equal(await curl(world.peer, `http://${asked}:${port}/`, '--interface', address), `guest ${seen}\n`, address);
    }
    const closed = await world.run(world.peer, 'curl', '-sS', '--max-time', '5', `http://[${HOST_OUTSIDE}]:9001/`);
    assert.notEqual(closed.status, 0, '::1 is for the host alone');
  });

  test('§13.3: is reached through a tunnel by its address', async () => {
    for (const ip of [OWN, '192.168.127.2']) {
      const socket = connect(world.api);
      await once(socket, 'connect');
      let text = '';
      socket.on('data', (data: Buffer) => {
        if (text === '') socket.write('GET / HTTP/1.0\r\n\r\n');
        text += data.toString();
      });
      socket.write(`POST /tunnel?ip=${encodeURIComponent(ip)}&port=8080 HTTP/1.1\r\nHost: \r\n\r\n`);
      await once(socket, 'end', { signal: AbortSignal.timeout(10_000) });
      socket.destroy();
      assert.match(text, /^OKHTTP\/1\.0 200 OK/);
      assert.ok(text.endsWith(`guest ${ip === OWN ? GATEWAY : '192.168.127.1'}\n`), text);
    }
  });

  test('goes on to IPv4 at once where the host has no route of IPv6, or no IPv6 at all', async () => {
    const { name } = world.guest;
    // Without a failure curl would wait as long as it is told here until it tries the other version.
    const patient = ['--happy-eyeballs-timeout-ms', '15000'];
    const fallsBack = async (why: string): Promise<void> => {
      const started = performance.now();
      assert.equal(await curl(name, 'http://both.world.test:8080/', ...patient), 'peer 10.77.1.2\n', why);
      assert.ok(performance.now() - started < 3000, `${why}: ${performance.now() - started} ms`);
      assert.equal(await say(name, PEER, 8081), 'Network is unreachable\n', why);
      const { stdout, stderr } = await world.guest.run('curl', '-6', '-sS', '-v', `http://[${PEER}]:8080/`);
      assert.match(stdout + stderr, /Network is unreachable/, why);
      assert.match((await world.guest.run('ping', '-6', '-c', '1', '-W', '2', PEER)).stdout, /Destination unreachable: No route/, why);
    };
    assert.equal(await curl(name, 'http://both.world.test:8080/', ...patient), `peer ${HOST_OUTSIDE}\n`);
    // The router knows no such network.
    assert.equal(await curl(name, 'http://far.world.test:8080/', ...patient), 'peer 10.77.1.2\n');
    await world.ip(world.host, '-6', 'route', 'del', 'default');
    await fallsBack('no route');
    await world.sysctl(world.host, 'net.ipv6.conf.all.disable_ipv6=1');
    await fallsBack('no IPv6');
    const { stderr } = await world.guest.run('curl', '-6', '-sS', '--max-time', '15', `http://[${HOST}]:8080/`);
    assert.match(stderr, /Failed to connect|Couldn't connect/);
  });
});
