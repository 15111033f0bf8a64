import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { judgeCapture } from './capture-judge.ts';
import { Gvproxy } from './gvproxy.ts';
import { randomBytes, serveEcho, serveFiles, serveHash, sha256 } from './host-servers.ts';
import { Namespace } from './namespace.ts';
import { delay, execute, Running, temporaryFolder } from './process.ts';
import { missing } from './requirement.ts';

const skip = missing('root', 'tun', 'ip', 'dhclient', 'dig', 'curl', 'iperf3', 'python3', 'ping', 'tshark');
const HOST = '192.168.127.254';

describe("a guest with the kernel's own TCP behind TAP", { skip }, () => {
  let gvproxy: Gvproxy;
  let guest: Namespace;
  const folder = temporaryFolder();

  before(async () => {
    gvproxy = await Gvproxy.start({ capture: true });
    guest = await Namespace.create(gvproxy.socket);
  });
  after(() => guest.remove());

  test('takes its lease with dhclient', async () => {
    const lease = join(folder, 'lease');
    await guest.succeed('timeout', '20', 'dhclient', '-1', '-sf', '/bin/true', '-lf', lease, '-pf', join(folder, 'pid'), 'tap0');
    await execute('pkill', ['-F', join(folder, 'pid')]);
    const text = readFileSync(lease, 'utf8');
    for (const part of [
      'fixed-address 192.168.127.2',
      'subnet-mask 255.255.255.0',
      'routers 192.168.127.1',
      'domain-name-servers 192.168.127.1',
      'interface-mtu 1500',
      'dhcp-lease-time 3600',
    ]) {
      assert.ok(text.includes(part), `${part} in\n${text}`);
    }
    await guest.configure();
  });

  test('pings the gateway and the host address', async () => {
    for (const address of ['192.168.127.1', HOST]) {
      assert.match(await guest.succeed('ping', '-c', '3', '-i', '0.2', '-W', '2', address), / 0% packet loss/);
    }
  });

  test('pings with payloads that are fragmented on the way', async () => {
    for (const size of ['0', '1472', '1473', '8000', '60000']) {
      assert.match(await guest.succeed('ping', '-c', '1', '-W', '2', '-s', size, '192.168.127.1'), / 0% packet loss/);
      assert.match(await guest.succeed('ping', '-c', '1', '-W', '2', '-s', size, HOST), / 0% packet loss/);
    }
  });

  test('resolves over UDP and TCP', async () => {
    const dig = (...args: string[]): Promise<string> => guest.succeed('dig', '+short', '+time=3', '+tries=1', '@192.168.127.1', ...args);
    assert.equal(await dig('host.containers.internal'), '192.168.127.254\n');
    assert.equal(await dig('+tcp', 'gateway.containers.internal'), '192.168.127.1\n');
    assert.equal(await dig('HoSt.DoCkEr.InTeRnAl'), '192.168.127.254\n');
    assert.equal(await dig('AAAA', 'host.containers.internal'), '');
    const missingName = await guest.succeed('dig', '+time=3', '+tries=1', '@192.168.127.1', 'nobody.containers.internal');
    assert.match(missingName, /status: NXDOMAIN/);
    assert.doesNotMatch(missingName, /Warning|WARNING|malformed/);
  });

  test('fetches 300 files of random sizes in parallel, each with the right hash', async () => {
    const files = new Map<string, Buffer>();
    for (let i = 0; i < 300; i++) files.set(`/${i}`, randomBytes(i < 10 ? i : Math.floor(Math.random() ** 3 * 2_000_000)));
    const { port, server } = await serveFiles(files);
    const target = join(folder, 'got');
    mkdirSync(target);
    const config = [...files.keys()].map((path) => `url = "http://${HOST}:${port}${path}"\noutput = "${target}${path}"`).join('\n');
    writeFileSync(join(folder, 'curl.conf'), config);
    await guest.succeed(
      'curl',
      '-sS',
      '--fail',
      '--parallel',
      '--parallel-immediate',
      '--parallel-max',
      '300',
      '-K',
      join(folder, 'curl.conf'),
    );
    server.close();
    for (const [path, body] of files) assert.equal(sha256(readFileSync(target + path)), sha256(body), path);
  });

  test('moves 50 MB each way with matching hashes', async () => {
    const blob = randomBytes(50_000_000);
    const source = join(folder, 'blob');
    writeFileSync(source, blob);
    const [files, hashes] = [await serveFiles(new Map([['/blob', blob]])), await serveHash()];
    await guest.succeed('curl', '-sS', '--fail', '-o', join(folder, 'down'), `http://${HOST}:${files.port}/blob`);
    assert.equal(sha256(readFileSync(join(folder, 'down'))), sha256(blob));
    // Half-close: the answer comes after the guest has finished sending.
    const client = `import socket,sys
s=socket.create_connection(('${HOST}',${hashes.port}));f=open('${source}','rb');s.sendfile(f);s.shutdown(socket.SHUT_WR);print(s.makefile().read().strip())`;
    assert.equal((await guest.succeed('python3', '-c', client)).trim(), sha256(blob));
    files.server.close();
    hashes.server.close();
  });

  test('is refused at once where the host refuses', async () => {
    const started = performance.now();
    const { status, stderr } = await guest.run('curl', '-sS', '--max-time', '5', `http://${HOST}:1/`);
    assert.equal(status, 7, stderr);
    assert.ok(performance.now() - started < 500, `${performance.now() - started} ms`);
  });

  test('sees a reset of the host as a reset', async () => {
    const server = createServer((socket) => void setTimeout(() => socket.resetAndDestroy(), 50));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    const client = `import socket
s=socket.create_connection(('${HOST}',${port}))
try: print('end', s.recv(10))
except ConnectionResetError: print('reset')`;
    assert.equal((await guest.succeed('python3', '-c', client)).trim(), 'reset');
    server.close();
  });

  test('exchanges datagrams of every size, and hears of a closed port', async () => {
    const echo = await serveEcho();
    const client = `import socket
s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM);s.settimeout(3)
for n in (1,0,1400,1472,1473,9000,65507):
    s.sendto(bytes([n%251])*n,('${HOST}',${echo.port}));d,a=s.recvfrom(65535);assert d==bytes([n%251])*n and a==('${HOST}',${echo.port}),(n,len(d),a)
c=socket.socket(socket.AF_INET,socket.SOCK_DGRAM);c.settimeout(3);c.connect(('${HOST}',1));c.send(b'x')
try: c.recv(10);print('answer')
except ConnectionRefusedError: print('refused')`;
    assert.equal((await guest.succeed('python3', '-c', client)).trim(), 'refused');
    echo.socket.close();
  });

  test("is reached through -ssh-port's forward", async () => {
    const server = guest.start(
      'python3',
      '-c',
      "import socket\ns=socket.create_server(('',22));print('up',flush=True)\nwhile 1:\n c,a=s.accept();c.sendall(('hello '+a[0]).encode()+b' '+c.recv(100));c.close()",
    );
    await new Promise<void>((resolve) => server.child.stdout?.once('data', () => resolve()));
    const client = `import socket
s=socket.create_connection(('127.0.0.1',${gvproxy.sshPort}));s.sendall(b'there');s.shutdown(socket.SHUT_WR);print(s.makefile().read())`;
    const { stdout } = await execute('python3', ['-c', client]);
    assert.equal(stdout.trim(), 'hello 192.168.127.1 there');
    await server.kill();
    const refused = await execute('python3', [
      '-c',
      `import socket\ns=socket.create_connection(('127.0.0.1',${gvproxy.sshPort}));s.settimeout(3)\ntry: print(len(s.recv(1)))\nexcept ConnectionResetError: print('reset')`,
    ]);
    assert.equal(refused.stdout.trim(), 'reset');
  });

  test('leaves a capture without malformed packets, bad checksums or retransmissions', async () => {
    await guest.remove();
    assert.equal(await gvproxy.process.ended, 0, gvproxy.process.output);
    await judgeCapture(gvproxy.capture, { lossless: true, frames: 50_000 });
  });
});

test('moves data with iperf3 at a reasonable rate both ways', { skip }, async () => {
  const gvproxy = await Gvproxy.start();
  const guest = await Namespace.create(gvproxy.socket);
  await guest.configure();
  for (const flags of [[], ['-R']]) {
    const server = new Running('iperf3', ['-s', '-1', '-B', '127.0.0.1', '-p', '25201']);
    await delay(300);
    const output = await guest.succeed('iperf3', '-c', HOST, '-p', '25201', '-t', '2', '-J', ...flags);
    const rate = (JSON.parse(output) as { end: { sum_received: { bits_per_second: number } } }).end.sum_received.bits_per_second;
    assert.ok(rate > 0.2e9, `${(rate / 1e9).toFixed(2)} Gbit/s`);
    await server.kill();
  }
  await guest.remove();
  assert.equal(await gvproxy.process.ended, 0, gvproxy.process.output);
});
