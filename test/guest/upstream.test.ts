/**
 * The original's own tests with a QEMU guest (contract §18.2), one by one, against our gvproxy. The public internet is stood in
 * for by a DNS server on the host's loopback, podman by `companion.ts` in the guest.
 */
import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, request, type Server } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type Answer, decode, encode } from 'dns-packet';
import { randomBytes, sha256 } from './host-servers.ts';
import { GVPROXY, ROOT, Running, succeed, temporaryFolder, until } from './process.ts';
import { QemuGuest } from './qemu.ts';
import { missing } from './requirement.ts';

const skip = missing(
  'root',
  'qemu-system-x86_64',
  'busybox',
  'cpio',
  'apt-get',
  'dpkg-deb',
  'depmod',
  'sshd',
  'ssh',
  'scp',
  'curl',
  'nslookup',
  'unshare',
);
const MAC = '5a:94:ef:e4:0c:ee';
const BASE = 24_000 + (process.pid % 1000) * 8;
const SSH_PORT = BASE;
const HTTP_PORT = BASE + 1;
const UDP_PORT = BASE + 2;
const WEB_PORT = BASE + 3;
/** An address of the loopback that nobody else serves names on. */
const RESOLVER = '127.0.53.53';

const RECORDS: Record<string, Answer[]> = {
  'A redhat.com': [{ type: 'A', name: 'redhat.com', data: '52.200.142.250' }],
  'CNAME docs.crc.dev': [{ type: 'CNAME', name: 'docs.crc.dev', data: 'webredir.vip.gandi.net' }],
  'A docs.crc.dev': [
    { type: 'CNAME', name: 'docs.crc.dev', data: 'webredir.vip.gandi.net' },
    { type: 'A', name: 'webredir.vip.gandi.net', data: '217.70.184.50' },
  ],
  'MX crc.dev': [{ type: 'MX', name: 'crc.dev', data: { preference: 10, exchange: 'spool.mail.gandi.net' } }],
  'NS wikipedia.org': [{ type: 'NS', name: 'wikipedia.org', data: 'ns0.wikimedia.org' }],
  'SRV _imaps._tcp.crc.dev': [
    { type: 'SRV', name: '_imaps._tcp.crc.dev', data: { priority: 0, weight: 1, port: 993, target: 'mail.gandi.net' } },
  ],
  'TXT crc.dev': [{ type: 'TXT', name: 'crc.dev', data: 'v=spf1 include:_mailcust.gandi.net ?all' }],
};

function serveNames(socket: Socket): void {
  socket.on('message', (message, peer) => {
    const { id, questions } = decode(message);
    const [question] = questions!;
    const answers = RECORDS[`${question!.type} ${question!.name.toLowerCase()}`];
    const rcode = answers === undefined && !Object.keys(RECORDS).some((key) => key.endsWith(` ${question!.name.toLowerCase()}`)) ? 3 : 0;
    const reply = encode({ type: 'response', id: id!, flags: 0x8180 | rcode, questions: questions!, answers: answers ?? [] });
    socket.send(reply, peer.port, peer.address);
  });
}

const folder = temporaryFolder();
const api = join(folder, 'api.sock');
const identity = join(folder, 'id');
const rootful = join(folder, 'rootful.sock');
const rootless = join(folder, 'rootless.sock');
let resolver: Socket;
let web: Server;
let gvproxy: Running;
let guest: QemuGuest;

/** A request to a unix socket, or to a port of the host's loopback. */
function ask(
  target: { socketPath: string } | { port: number },
  path: string,
  body?: unknown,
): Promise<{ status: number; headers: Record<string, unknown>; text: string }> {
  return new Promise((resolve, reject) => {
    const where = 'port' in target ? { ...target, host: '127.0.0.1' } : target;
    const sent = request({ ...where, path, method: body === undefined ? 'GET' : 'POST', agent: false, timeout: 20_000 }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => (text += chunk.toString()));
      response.on('end', () => resolve({ status: response.statusCode!, headers: response.headers, text }));
      response.on('error', reject);
    });
    sent.on('error', reject);
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

async function post(path: string, body: unknown): Promise<void> {
  const { status, text } = await ask({ socketPath: api }, path, body);
  assert.deepEqual([status, text], [200, '']);
}

function curl(words: string): Promise<string> {
  return guest.run(`curl -sS --max-time 20 ${words}`);
}

async function isRefused(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  const refused = await Promise.race([once(socket, 'connect').then(() => false), once(socket, 'error').then(() => true)]).catch(() => true);
  socket.destroy();
  return refused;
}

function lookUp(words: string): Promise<string> {
  return guest.run(`/usr/bin/nslookup ${words}`);
}

describe('the original’s tests with QEMU (§18.2)', { skip }, () => {
  before(async () => {
    resolver = createSocket('udp4').bind(53, RESOLVER);
    serveNames(resolver);
    web = createServer((_request, response) => response.end('Hello from the host')).listen(WEB_PORT, '127.0.0.1');
    const resolv = join(folder, 'resolv.conf');
    writeFileSync(resolv, `search crc.dev example.org\nnameserver ${RESOLVER}\n`);
    await succeed('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', identity]);
    const forward = (sock: string, dest: string, user: string): string[] => [
      ...['-forward-sock', sock, '-forward-dest', dest, '-forward-user', user, '-forward-identity', identity],
    ];
    const flags = [
      ...['-mtu', '1500', '-ssh-port', String(SSH_PORT), '-listen-qemu', `unix://${folder}/vm.sock`, '-listen', `unix://${api}`],
      ...forward(rootless, '/run/user/1000/podman/podman.sock', 'core'),
      ...forward(rootful, '/run/podman/podman.sock', 'root'),
      ...['-pid-file', join(folder, 'gvproxy.pid'), '-log-file', join(folder, 'gvproxy.log')],
    ];
    const inside = `mount --bind ${resolv} /etc/resolv.conf && exec ${GVPROXY} ${flags.join(' ')}`;
    gvproxy = new Running('unshare', ['--mount', 'sh', '-c', inside]);
    await until(() => existsSync(api) && existsSync(join(folder, 'vm.sock')), `gvproxy's sockets:\n${gvproxy.output}`, 5000);
    const netdev = `stream,id=n0,server=off,addr.type=unix,addr.path=${folder}/vm.sock`;
    guest = await QemuGuest.boot(netdev, MAC, { programs: true });
    await guest.run('udhcpc -i eth0 -n -q -t 5 -T 1 -s /etc/lease');
    const program = readFileSync(join(ROOT, 'build/test/guest/companion.js')).toString('base64');
    await guest.run(`echo ${program} | base64 -d > /companion.mjs`);
    await guest.run(`echo ${readFileSync(`${identity}.pub`).toString('base64')} | base64 -d > /etc/ssh/authorized_keys`);
    await guest.run('mkdir -p /dev/pts && mount -t devpts devpts /dev/pts; chmod 755 / /run /run/sshd; chown -R 1000 /home/core');
    await guest.run(
      '$(cat /etc/node) /companion.mjs > /tmp/companion.log 2>&1 & until grep -q ready /tmp/companion.log; do sleep 0.1; done',
    );
    await guest.run('/usr/sbin/sshd');
  });

  after(async () => {
    await guest?.stop();
    await gvproxy?.kill();
    resolver?.close();
    web?.close();
  });

  test('connectivity: the interface has MTU, address, mask and broadcast of the lease', async () => {
    const lease = await guest.run('cat /tmp/lease');
    for (const line of ['ip=192.168.127.2', 'subnet=255.255.255.0', 'mtu=1500'])
      assert.ok(lease.split('\n').includes(line), `${line}:\n${lease}`);
    assert.match(await guest.run('ip addr show eth0'), /mtu 1500[^]*inet 192\.168\.127\.2\/24/);
  });

  test('connectivity: the default route is the gateway’s, from DHCP, and so is the resolver', async () => {
    assert.match(await guest.run('ip route show default'), /default via 192\.168\.127\.1/);
    assert.match(await guest.run('cat /etc/resolv.conf'), /nameserver 192\.168\.127\.1\b/);
  });

  test('connectivity: the guest pings itself and the gateway, two of two', async () => {
    for (const address of ['192.168.127.2', '192.168.127.1']) {
      assert.match(await guest.run(`ping -c 2 -W 2 ${address}`), /2 packets transmitted, 2 packets received, 0% packet loss/);
    }
  });

  test('DNS: records of the public internet, as nslookup prints them', async () => {
    assert.match(await lookUp('redhat.com'), /52\.200\.142\.250/);
    assert.match(await lookUp('-query=cname docs.crc.dev'), /canonical name = webredir\.vip\.gandi\.net\./);
    assert.match(await lookUp('-query=mx crc.dev'), /mail exchanger = 10 spool\.mail\.gandi\.net\./);
    assert.match(await lookUp('-query=ns wikipedia.org'), /nameserver = ns0\.wikimedia\.org\./);
    assert.match(await lookUp('-query=srv _imaps._tcp.crc.dev'), /service = 0 1 993 mail\.gandi\.net\./);
    assert.match(await lookUp('-query=txt crc.dev'), /text = "v=spf1/);
  });

  test('DNS: gateway.containers.internal and host.containers.internal', async () => {
    assert.match(await lookUp('gateway.containers.internal'), /Address: 192\.168\.127\.1\n/);
    assert.match(await lookUp('host.containers.internal'), /Address: 192\.168\.127\.254\n/);
  });

  test('DNS: a record that was added dynamically, and one added later for the same name wins', async () => {
    await post('/services/dns/add', { Name: 'internal.', Records: [{ Name: 'dynamic', IP: '192.168.127.254' }] });
    assert.match(await lookUp('dynamic.internal'), /192\.168\.127\.254/);
    await post('/services/dns/add', { Name: 'internal.', Records: [{ Name: 'dynamic', IP: '192.168.127.253' }] });
    assert.match(await lookUp('dynamic.internal'), /192\.168\.127\.253/);
  });

  test('DNS: the order of zones is retained', async () => {
    await post('/services/dns/add', { Name: 'dynamic.testing.', DefaultIP: '192.168.127.2' });
    await post('/services/dns/add', { Name: 'testing.', Records: [{ Name: 'host', IP: '192.168.127.3' }] });
    await post('/services/dns/add', { Name: 'testing.', Records: [{ Name: '*.dynamic', IP: '192.168.127.4' }] });
    assert.match(await lookUp('test.dynamic.testing'), /192\.168\.127\.2\n/);
    assert.match(await lookUp('host.testing'), /192\.168\.127\.3\n/);
  });

  test('DHCP: the list of leases has the gateway and the guest', async () => {
    const { text } = await ask({ socketPath: api }, '/services/dhcp/leases');
    assert.equal(text, '{"192.168.127.1":"5a:94:ef:e4:0c:dd","192.168.127.2":"5a:94:ef:e4:0c:ee"}\n');
  });

  test('ping: an unknown name and an address without a route fail, the guest itself answers', async () => {
    assert.notEqual((await guest.attempt('ping -c 1 -W 2 unknown.example.org')).status, 0);
    assert.notEqual((await guest.attempt('ping -c 2 -W 2 7.7.7.7')).status, 0);
    await guest.run('ping -c 1 -W 2 localhost');
  });

  test('port forwarding: the guest reaches the host’s loopback by both names', async () => {
    for (const name of ['host.containers.internal', 'host.docker.internal']) {
      assert.equal(await curl(`http://${name}:${WEB_PORT}/`), 'Hello from the host');
    }
  });

  test('port forwarding: a TCP port is exposed, reached, unexposed and refused again', async () => {
    await post('/services/forwarder/expose', { local: `127.0.0.1:${HTTP_PORT}`, remote: '192.168.127.2:8080' });
    assert.equal((await ask({ port: HTTP_PORT }, '/')).text, 'Hello world!');
    await post('/services/forwarder/unexpose', { local: `127.0.0.1:${HTTP_PORT}` });
    assert.equal(await isRefused(HTTP_PORT), true);
  });

  test('port forwarding: a UDP port is exposed, asked for a name, and unexposed', async () => {
    await post('/services/forwarder/expose', { local: `:${UDP_PORT}`, remote: '192.168.127.2:53', protocol: 'udp' });
    assert.match(await succeed('nslookup', [`-port=${UDP_PORT}`, '-timeout=5', 'foobar.', '127.0.0.1']), /1\.2\.3\.4/);
    await post('/services/forwarder/unexpose', { local: `:${UDP_PORT}`, protocol: 'udp' });
  });

  test('port forwarding: HTTP through /tunnel', async () => {
    const socket = connect(api);
    socket.write(
      'POST /tunnel?ip=192.168.127.2&port=8080 HTTP/1.1\r\nHost: \r\nUser-Agent: Go-http-client/1.1\r\nContent-Length: 0\r\n\r\n',
    );
    const [ok] = (await once(socket, 'data')) as [Buffer];
    assert.equal(ok.toString(), 'OK');
    socket.write('GET / HTTP/1.0\r\n\r\n');
    let text = '';
    for await (const chunk of socket) text += String(chunk);
    assert.match(text, /^HTTP\/1\.1 200 OK\r\n[^]*Hello world!$/);
  });

  test('port forwarding: exposed and unexposed from inside the guest', async () => {
    const url = 'http://gateway.containers.internal/services/forwarder';
    assert.equal(await curl(`${url}/expose -X POST -d '{"local":":${HTTP_PORT}","remote":":8080"}'`), '');
    assert.equal((await ask({ port: HTTP_PORT }, '/')).text, 'Hello world!');
    assert.equal(await curl(`${url}/unexpose -X POST -d '{"local":":${HTTP_PORT}"}'`), '');
    assert.equal(await isRefused(HTTP_PORT), true);
  });

  for (const [name, path] of [
    ['rootless', rootless],
    ['rootful', rootful],
  ] as const) {
    test(`port forwarding: the ${name} podman socket answers /_ping`, async () => {
      const { status, headers, text } = await ask({ socketPath: path }, '/_ping');
      assert.deepEqual([status, text, headers['content-length'], headers['x-socket']], [200, 'OK', '2', name]);
    });
  }

  test('port forwarding: a unix socket of the host leads to a TCP port, exposed from inside the guest', async () => {
    const local = join(folder, 'exposed.sock');
    const url = 'http://gateway.containers.internal/services/forwarder';
    const body = `{"protocol":"unix","local":"${local}","remote":"tcp://192.168.127.2:8080"}`;
    assert.equal(await curl(`${url}/expose -X POST -d '${body}'`), '');
    assert.equal(existsSync(local), true);
    assert.equal((await ask({ socketPath: local }, '/')).text, 'Hello world!');
    assert.match(await curl(`${url}/expose -X POST -d '${body}'`), /proxy already running/);
    assert.equal(await curl(`${url}/unexpose -X POST -d '{"protocol":"unix","local":"${local}"}'`), '');
    assert.equal(existsSync(local), false);
  });

  test('port forwarding: a unix socket of the host leads to one of the guest over SSH', async () => {
    const local = join(folder, 'over-ssh.sock');
    const remote = `ssh-tunnel://root@192.168.127.2:22/run/podman/podman.sock?key=${identity}`;
    await post('/services/forwarder/expose', { protocol: 'unix', local, remote });
    assert.equal((await ask({ socketPath: local }, '/_ping')).text, 'OK');
    await post('/services/forwarder/unexpose', { protocol: 'unix', local });
    assert.equal(existsSync(local), false);
  });

  test('files of 1, 10 and 100 MB go up and down by scp (§18.3)', async () => {
    const options = ['-i', identity, '-P', String(SSH_PORT), '-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null', '-q'];
    for (const megabytes of [1, 10, 100]) {
      const bytes = randomBytes(megabytes * 1_000_000);
      const file = join(folder, 'up');
      writeFileSync(file, bytes);
      await succeed('scp', [...options, file, 'root@127.0.0.1:/tmp/blob'], 120_000);
      assert.equal((await guest.run('sha256sum < /tmp/blob')).split(' ')[0], sha256(bytes));
      await succeed('scp', [...options, 'root@127.0.0.1:/tmp/blob', `${file}.down`], 120_000);
      assert.equal(sha256(readFileSync(`${file}.down`)), sha256(bytes));
    }
  });

  test('the pid file has the number, and the log the records', () => {
    assert.match(readFileSync(join(folder, 'gvproxy.pid'), 'utf8'), /^\d+$/);
    assert.match(readFileSync(join(folder, 'gvproxy.log'), 'utf8'), /level=info msg="waiting for clients\.\.\."/);
  });

  test('gvproxy goes when the VM goes, and its files with it', async () => {
    await guest.stop();
    assert.equal(await gvproxy.ended, 0, readFileSync(join(folder, 'gvproxy.log'), 'utf8'));
    for (const path of [api, rootful, rootless, join(folder, 'vm.sock'), join(folder, 'gvproxy.pid')])
      assert.equal(existsSync(path), false, path);
  });
});
