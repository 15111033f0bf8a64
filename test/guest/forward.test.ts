import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { ForwardWorld } from './forward-world.ts';
import { randomBytes } from './host-servers.ts';
import { Running, until } from './process.ts';
import { missing } from './requirement.ts';

const HOST = '10.77.1.1';

/** Says back what it is sent, after a line that tells from where; half-closed by turns. */
const TCP_SERVER = `
import asyncio, sys
async def serve(reader, writer):
    writer.write(('%s %d\\n' % writer.get_extra_info('peername')).encode())
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.write_eof()
async def main():
    server = await asyncio.start_server(serve, '0.0.0.0', int(sys.argv[1]), backlog=1024)
    print('ready', flush=True)
    await server.serve_forever()
asyncio.run(main())`;

/** Says back who a datagram came from, and the datagram. */
const UDP_SERVER = `
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 21)
s.bind(('0.0.0.0', int(sys.argv[1])))
print('ready', flush=True)
while True:
    data, peer = s.recvfrom(65536)
    s.sendto(('%s %d' % peer).encode() if data == b'who' else data, peer)`;

/** Connects from a port of its own, and prints the first line it hears. */
const WHO_TCP = `
import socket, sys
family = socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET
s = socket.socket(family)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
if len(sys.argv) > 3: s.bind(('', int(sys.argv[3])))
s.settimeout(5)
s.connect((sys.argv[1], int(sys.argv[2])))
print(s.makefile().readline().strip())`;

const WHO_UDP = `
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
if len(sys.argv) > 3: s.bind(('', int(sys.argv[3])))
s.settimeout(5)
s.sendto(b'who', (sys.argv[1], int(sys.argv[2])))
data, peer = s.recvfrom(100)
assert peer == (sys.argv[1], int(sys.argv[2])), peer
print(data.decode())`;

/** So many clients at once, each with bytes of its own that have to come back. */
const CROWD = `
import asyncio, hashlib, sys
async def one(i):
    reader, writer = await asyncio.open_connection(sys.argv[1], int(sys.argv[2]))
    await reader.readline()
    data = hashlib.sha256(b'%d' % i).digest() * 300
    writer.write(data)
    writer.write_eof()
    back = await reader.read(-1)
    writer.close()
    return back == data
async def main():
    good = await asyncio.wait_for(asyncio.gather(*[one(i) for i in range(int(sys.argv[3]))]), 30)
    print(sum(good))
asyncio.run(main())`;

/** So many sockets, each waiting for its own datagram before it sends the next; a lost one is sent again. */
const UDP_CROWD = `
import selectors, socket, sys, time
sizes = [0, 1, 1400, 1473, 5000, 9000]
selector = selectors.DefaultSelector()
target = (sys.argv[1], int(sys.argv[2]))
class Client:
    def __init__(self, i):
        self.i, self.round = i, 0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        selector.register(self.socket, selectors.EVENT_READ, self)
        self.send()
    def data(self):
        return (b'%d/%d ' % (self.i, self.round) * 1500)[:sizes[self.round]]
    def send(self):
        self.at = time.monotonic()
        self.socket.sendto(self.data(), target)
    def hear(self):
        data, peer = self.socket.recvfrom(65536)
        assert peer == target, (peer, data[:40], self.data()[:40])
        if data != self.data(): return False
        self.round += 1
        if self.round < len(sizes): self.send()
        return self.round == len(sizes)
clients = [Client(i) for i in range(int(sys.argv[3]))]
left, again, end = len(clients), 0, time.monotonic() + 20
while left and time.monotonic() < end:
    for key, _ in selector.select(0.2):
        if key.data.hear(): left -= 1
    for client in clients:
        if client.round < len(sizes) and time.monotonic() - client.at > 1:
            again += 1
            client.send()
print(left, again)`;

const ONE_LARGE = `
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(5)
data = bytes(range(256)) * 256
s.sendto(data[:65507], (sys.argv[1], int(sys.argv[2])))
print(s.recvfrom(65536)[0] == data[:65507])`;

/** Says what it reads from its input once it is connected, and prints what comes back. */
const STAYS = `
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
f = s.makefile()
f.readline()
print('connected', flush=True)
s.sendall(sys.stdin.readline().encode())
print(f.readline().strip())`;

describe("forwards to a guest with the kernel's own stack", { skip: missing('root', 'tun', 'ip', 'python3') }, () => {
  let world: ForwardWorld;

  before(async () => {
    world = await ForwardWorld.create();
    await world.serve(TCP_SERVER, '80');
    await world.serve(UDP_SERVER, '53');
  });
  after(() => world.remove());

  test('§19 #634: the guest sees the address and port of a client that is no process of the host', async () => {
    const port = await world.expose('tcp', ':8080', '192.168.127.2:80');
    assert.equal(await world.python(world.client, WHO_TCP, HOST, `${port}`, '20678'), '10.77.1.2 20678');
    for (const loopback of ['127.0.0.1', '::1']) {
      assert.match(await world.python(world.host, WHO_TCP, loopback, `${port}`), /^192\.168\.127\.1 \d+$/);
    }
    // The same client through another forward, while its first connection's end is still remembered.
    const other = await world.expose('tcp', `${HOST}:0`, '192.168.127.2:80');
    assert.match(await world.python(world.client, WHO_TCP, HOST, `${other}`, '20678'), /^10\.77\.1\.2 \d+$/);
    await world.ask({ unexpose: ['tcp', `${HOST}:0`] });
  });

  test('§19 #634: the same for UDP', async () => {
    const port = await world.expose('udp', ':5353', '192.168.127.2:53');
    assert.equal(await world.python(world.client, WHO_UDP, HOST, `${port}`, '20679'), '10.77.1.2 20679');
    assert.match(await world.python(world.host, WHO_UDP, '127.0.0.1', `${port}`), /^192\.168\.127\.1 \d+$/);
    assert.match(await world.python(world.host, WHO_UDP, HOST, `${port}`), /^10\.77\.1\.1 \d+$/);
  });

  test('§10.2: datagrams of hundreds of clients come back to each, in fragments where they must', async () => {
    const [left, again] = (await world.python(world.client, UDP_CROWD, HOST, '5353', '300')).split(' ').map(Number);
    assert.equal(left, 0);
    assert.ok(again! < 90, `${again} of 1800 datagrams were lost`);
    assert.equal(await world.python(world.client, ONE_LARGE, HOST, '5353'), 'True');
  });

  test('500 clients that race for a forward are all served', async () => {
    assert.equal(await world.python(world.client, CROWD, HOST, '8080', '500'), '500');
  });

  test('a forward survives a thousand others that come and go, under load', async () => {
    const { descriptors } = await world.ask({ descriptors: true });
    const load = world.python(world.client, CROWD, HOST, '8080', '300');
    await world.ask({ cycles: 1000, local: ':8081', remote: '192.168.127.2:80' });
    const again = world.python(world.client, CROWD, HOST, '8080', '200');
    await world.ask({ cycles: 200, local: ':8081', remote: '192.168.127.2:80' });
    assert.deepEqual([await load, await again], ['300', '200']);
    const port = await world.expose('tcp', ':8081', '192.168.127.2:80');
    assert.equal(await world.python(world.client, WHO_TCP, HOST, `${port}`, '20680'), '10.77.1.2 20680');
    await world.ask({ unexpose: ['tcp', ':8081'] });
    await assert.rejects(world.ask({ unexpose: ['tcp', ':8081'] }), /proxy not found/);
    // The sockets of connections that have ended are closed with the guest's last word.
    let now = Infinity;
    for (let i = 0; i < 50 && now > descriptors!; i++) now = (await world.ask({ descriptors: true })).descriptors!;
    assert.ok(now <= descriptors!, `${now} descriptors, ${descriptors} before`);
  });

  test('§16.15: a process without descriptors serves its forwards again as soon as it has some', async () => {
    await world.ask({ hog: true });
    const crowd = world.python(world.client, CROWD, HOST, '8080', '20');
    await assert.rejects(world.expose('tcp', ':8082', '192.168.127.2:80'), /^Error: listen tcp :8082: socket: too many open files$/);
    const done = await Promise.race([crowd.then(() => true), new Promise((resolve) => setTimeout(resolve, 300, false))]);
    assert.equal(done, false);
    await world.ask({ hog: false });
    assert.equal(await crowd, '20');
    await world.expose('tcp', ':8082', '192.168.127.2:80');
    await world.ask({ unexpose: ['tcp', ':8082'] });
  });

  test('§14.1: a unix socket carries 50 MB each way, and both ends', async () => {
    const path = join(world.folder, 'forward.sock');
    await world.expose('unix', path, 'tcp://192.168.127.2:80');
    const blob = randomBytes(50_000_000);
    const socket = connect({ path, allowHalfOpen: true });
    socket.write(blob);
    socket.end();
    const back = createHash('sha256');
    let line = '';
    for await (const chunk of socket) {
      let data = chunk as Buffer;
      if (!line.endsWith('\n')) {
        const end = data.indexOf(10) + 1;
        line += data.subarray(0, end || data.length).toString();
        data = data.subarray(end || data.length);
      }
      back.update(data);
    }
    assert.match(line, /^192\.168\.127\.1 \d+\n$/);
    assert.equal(back.digest('hex'), createHash('sha256').update(blob).digest('hex'));
    await world.ask({ unexpose: ['unix', path] });
    const refused = connect(path);
    const [error] = (await once(refused, 'error')) as [NodeJS.ErrnoException];
    assert.equal(error.code, 'ENOENT');
  });

  test('§13.8: conversations of TCP outlive their forward, those of UDP end', async () => {
    const stays = new Running('ip', ['netns', 'exec', world.client, 'python3', '-c', STAYS, HOST, '8080']);
    await until(() => stays.output.includes('connected'), 'a connection');
    await world.ask({ unexpose: ['tcp', ':8080'] });
    stays.child.stdin!.end('after\n');
    assert.equal(await stays.ended, 0, stays.output);
    assert.equal(stays.output, 'connected\nafter\n');
    await assert.rejects(world.python(world.client, WHO_TCP, HOST, '8080'), /ConnectionRefused/);
    await world.ask({ unexpose: ['udp', ':5353'] });
    await assert.rejects(
      world.python(world.client, WHO_UDP.replace('settimeout(5)', 'settimeout(0.3)'), HOST, '5353'),
      /timed out|timeout/,
    );
  });
});
