/** gvforwarder in a network namespace against gvproxy's `/connect`: the kernel's own TCP on both sides of it (contract §15.1). */
import assert from 'node:assert/strict';
import { chmodSync, existsSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { ConnectServer, ForwarderNamespace } from './forwarder-namespace.ts';
import { randomBytes, serveFiles, serveHash, sha256 } from './host-servers.ts';
import { GVPROXY, ROOT, Running, temporaryFolder, until } from './process.ts';
import { missing } from './requirement.ts';

const needs = ['root', 'tun', 'ip', 'ping', 'python3', 'curl'];
const HOST = '192.168.127.254';
const SIZE = 50_000_000;
const folder = temporaryFolder();

/** Both ways at once, so that each direction's frames meet the other's. */
async function moveBothWays(guest: ForwarderNamespace): Promise<void> {
  const blob = randomBytes(SIZE);
  const [source, target] = [join(folder, 'blob'), join(folder, 'down')];
  writeFileSync(source, blob);
  const [files, hashes] = [await serveFiles(new Map([['/blob', blob]])), await serveHash()];
  const client = `import socket
s=socket.create_connection(('${HOST}',${hashes.port}));f=open('${source}','rb');s.sendfile(f);s.shutdown(socket.SHUT_WR);print(s.makefile().read().strip())`;
  const [up] = await Promise.all([
    guest.succeed('python3', '-c', client),
    guest.succeed('curl', '-sS', '--fail', '-o', target, `http://${HOST}:${files.port}/blob`),
  ]);
  files.server.close();
  hashes.server.close();
  assert.equal(up.trim(), sha256(blob));
  assert.equal(sha256(readFileSync(target)), sha256(blob));
}

for (const [mtu, offload] of [
  [1500, 'auto'],
  [1500, 'off'],
  [65_520, 'auto'],
] as const) {
  describe(`gvforwarder at MTU ${mtu}, -offload ${offload}`, { skip: missing(...needs) }, () => {
    const server = new ConnectServer('-mtu', String(mtu));
    let guest: ForwarderNamespace;

    before(async () => {
      await server.start();
      guest = await ForwarderNamespace.create();
      await guest.join(server.url, '-offload', offload);
    });
    after(async () => {
      await guest.remove();
      await server.kill();
    });

    test('§15.1: has the lease: address, MTU, route, resolver', async () => {
      const address = await guest.succeed('ip', 'addr', 'show', 'tap0');
      assert.match(address, new RegExp(`,UP,LOWER_UP> mtu ${mtu} `));
      assert.match(address, / link\/ether 5a:94:ef:e4:0c:ee /);
      assert.match(address, / inet 192\.168\.127\.2\/24 brd 192\.168\.127\.255 /);
      assert.match(await guest.succeed('ip', 'route'), /^default via 192\.168\.127\.1 dev tap0/m);
      assert.equal(guest.resolverText, '# by gvforwarder, from DHCP\nnameserver 192.168.127.1\n');
      assert.equal(guest.forwarder!.output.includes('with offload'), offload === 'auto');
    });

    test('resolves names, and pings with frames of the whole MTU and fragments', async () => {
      const name = await guest.succeed('python3', '-c', "import socket;print(socket.gethostbyname('host.containers.internal'))");
      assert.equal(name, `${HOST}\n`);
      for (const size of ['0', String(mtu - 28), '40000']) {
        assert.match(await guest.succeed('ping', '-c', '1', '-W', '2', '-s', size, HOST), / 0% packet loss/, size);
      }
    });

    test('moves 50 MB each way at once with matching hashes', () => moveBothWays(guest));

    test('§15.1: SIGTERM takes interface and resolver back, and ends it with 0', async () => {
      assert.equal(await guest.stop(), 0);
      assert.notEqual((await guest.run('ip', 'link', 'show', 'tap0')).status, 0);
      assert.equal(guest.resolverText, '# before\n');
    });
  });
}

describe('gvforwarder and what it lives with', { skip: missing(...needs) }, () => {
  let server: ConnectServer;
  let guest: ForwarderNamespace;

  before(async () => {
    server = await new ConnectServer().start();
    guest = await ForwarderNamespace.create();
  });
  after(async () => {
    await guest.remove();
    await server.kill();
  });

  test('§15.1: joins again when gvproxy comes back, and says why it was gone', async () => {
    const forwarder = await guest.join(server.url);
    await server.kill();
    await until(() => forwarder.output.includes('cannot connect to host: connect ENOENT'), `an attempt in vain:\n${forwarder.output}`);
    assert.match(forwarder.output, /level=error msg="cannot read size from socket: (EOF|connection reset by peer)"/);
    assert.equal(guest.resolverText, '# before\n', 'without gvproxy there is no resolver');
    await server.start();
    await guest.online();
    assert.equal(await guest.stop(), 0);
  });

  test('an MTU that no interface can have comes down to the largest', async () => {
    const large = await new ConnectServer('-mtu', '65535').start();
    await guest.join(large.url, '-offload', 'on');
    assert.match(await guest.succeed('ip', 'addr', 'show', 'tap0'), / mtu 65521 /);
    assert.equal(await guest.stop(), 0);
    await large.kill();
  });

  test('an interface that was made for it stays, with its configuration, and so does its owner', async () => {
    await guest.succeed('ip', 'tuntap', 'add', 'dev', 'vsock0', 'mode', 'tap');
    await guest.succeed('ip', 'link', 'set', 'vsock0', 'address', '5a:94:ef:e4:0c:ee', 'up');
    await guest.succeed('ip', 'addr', 'add', '192.168.127.2/24', 'dev', 'vsock0');
    for (const offload of ['on', 'off']) {
      const forwarder = guest.start([
        '-preexisting',
        '-iface',
        'vsock0',
        '-url',
        server.url,
        '-offload',
        offload,
        '-mac',
        '5a:94:ef:00:00:01',
      ]);
      await until(() => forwarder.output.includes('is joined'), forwarder.output);
      assert.match(await guest.succeed('ping', '-c', '1', '-W', '2', HOST.replace('254', '1')), / 0% packet loss/);
      assert.match(await guest.succeed('ip', 'link', 'show', 'vsock0'), /5a:94:ef:e4:0c:ee/);
      assert.equal(await guest.stop(), 0);
      assert.match(await guest.succeed('ip', 'addr', 'show', 'vsock0'), /<.*\bUP\b.*>[^]* inet 192\.168\.127\.2\/24/);
    }
    assert.equal(guest.resolverText, '# before\n');
    // Down for a while, as when NetworkManager takes its time: frames for it are lost, gvforwarder is not.
    const forwarder = guest.start(['-preexisting', '-iface', 'vsock0', '-url', server.url]);
    await until(() => forwarder.output.includes('is joined'), forwarder.output);
    const other = await ForwarderNamespace.create();
    await other.join(server.url, '-mac', '5a:94:ef:00:00:02');
    await guest.succeed('ip', 'link', 'set', 'vsock0', 'down');
    await other.run('ping', '-c', '2', '-i', '0.2', '-W', '1', '192.168.127.2');
    await guest.succeed('ip', 'link', 'set', 'vsock0', 'up');
    assert.match(await other.succeed('ping', '-c', '1', '-W', '2', '192.168.127.2'), / 0% packet loss/);
    await other.remove();
    assert.doesNotMatch(forwarder.output, /level=error/);
    await guest.succeed('ip', 'tuntap', 'del', 'dev', 'vsock0', 'mode', 'tap').catch(() => {});
    await guest.succeed('ip', 'link', 'del', 'vsock0');
    await until(() => forwarder.output.includes('cannot read packet from tap: file descriptor in bad state'), forwarder.output);
    await guest.stop();
  });

  test('§15.1: udhcpc comes first, then dhclient, with their flags; a failure of theirs is one of ours', async () => {
    const programs = temporaryFolder();
    const log = join(programs, 'log');
    const program = (name: string, status: number): void => {
      writeFileSync(join(programs, name), `#!/bin/sh\necho "$(basename $0) $*" >> ${log}\nexit ${status}\n`);
      chmodSync(join(programs, name), 0o755);
    };
    const path = `${programs}:/nowhere`;
    symlinkSync('/bin/sh', join(programs, 'sh'));
    for (const name of ['basename', 'cat']) symlinkSync(`/usr/bin/${name}`, join(programs, name));
    program('dhclient', 0);
    let forwarder = guest.start(['-url', server.url], path);
    await until(() => readText(log) === 'dhclient -4 -d -v tap0\n', forwarder.output);
    program('udhcpc', 0);
    assert.equal(await guest.stop(), 0);
    forwarder = guest.start(['-url', server.url, '-iface', 'eth7'], path);
    await until(() => readText(log).endsWith('udhcpc -f -q -i eth7 -v\n'), forwarder.output);
    assert.equal(await guest.stop(), 0);
    assert.doesNotMatch(forwarder.output, /level=error/, 'one that ends with 0 is done');
    program('udhcpc', 1);
    forwarder = guest.start(['-url', server.url], path);
    await until(() => forwarder.output.split('level=error msg="dhcp error: exit status 1"').length > 2, forwarder.output);
    assert.equal(await guest.stop(), 0);
    assert.equal(guest.resolverText, '# before\n');
  });

  test('where neither is there it asks for the address itself', async () => {
    const forwarder = guest.start(['-url', server.url], '/nowhere');
    await guest.online();
    assert.match(forwarder.output, /tap0 has 192\.168\.127\.2 for 3600 s, router 192\.168\.127\.1/);
    assert.equal(await guest.stop(), 0);
  });

  test('with the real udhcpc', { skip: missing('udhcpc', 'busybox') }, async () => {
    const forwarder = guest.start(['-url', server.url, '-dhcp', 'udhcpc']);
    await guest.online();
    assert.match(await guest.succeed('ip', 'addr', 'show', 'tap0'), / inet 192\.168\.127\.2\/24 /);
    assert.match(forwarder.output, /udhcpc: lease of 192\.168\.127\.2 obtained/);
    await guest.stop();
    writeFileSync(guest.resolver, '# before\n');
  });

  test('§15.1: the recipe for WSL: over the standard input and output of a gvproxy that it starts and ends', async () => {
    writeFileSync(guest.resolver, 'nameserver 9.9.9.9\n');
    const home = temporaryFolder();
    const [script, pid] = [join(home, 'gvproxy.exe'), join(home, 'pid')];
    writeFileSync(script, `#!/bin/sh\nexec ${process.execPath} ${GVPROXY} -ssh-port -1 "$@"\n`, { mode: 0o755 });
    const forwarder = await guest.join(
      `stdio:${script}?listen-stdio=accept&pid-file=${pid}`,
      '-iface',
      'eth1',
      '-stop-if-exist',
      '',
      '-debug',
    );
    assert.ok(existsSync(pid));
    assert.doesNotMatch(forwarder.output, /offload/);
    assert.match(await guest.succeed('ping', '-c', '1', '-W', '2', '192.168.127.1'), / 0% packet loss/);
    assert.equal(guest.resolverText, '# by gvforwarder, from DHCP\nnameserver 192.168.127.1\n');
    assert.equal(await guest.stop(), 0);
    await until(() => !existsSync(pid), 'the end of gvproxy');
    const [, up, down] = /level=debug msg="(\d+) frames to the host, (\d+) from it, 0 dropped"/.exec(forwarder.output)!;
    // DHCP asks twice, and two pings have their answers; ours does not pass on those of DHCP.
    assert.ok(Number(up) >= 4 && Number(down) >= 2, forwarder.output);
    assert.equal(guest.resolverText, 'nameserver 9.9.9.9\n');
  });
});

/** Gbit/s. */
async function rate(guest: ForwarderNamespace, port: number, ...flags: string[]): Promise<number> {
  const output = await guest.succeed('iperf3', '-c', HOST, '-p', String(port), '-t', '1', '-J', ...flags);
  const { end } = JSON.parse(output) as { end: { sum_received: { bits_per_second: number } } };
  return end.sum_received.bits_per_second / 1e9;
}

test('offload is at least three times as fast at MTU 1500, up and down', { skip: missing(...needs, 'iperf3') }, async (t) => {
  const server = await new ConnectServer().start();
  const guest = await ForwarderNamespace.create();
  const iperf = new Running('iperf3', ['-s', '-B', '127.0.0.1', '-p', '25219']);
  t.after(async () => {
    await iperf.kill();
    await guest.remove();
    await server.kill();
  });
  /** The best of each, up and down: whatever else the machine does only makes them worse. */
  const best: Record<'on' | 'off', [number, number]> = { on: [0, 0], off: [0, 0] };
  const enough = (way: 0 | 1): boolean => best.on[way] >= 3 * best.off[way];
  for (let round = 0; round < 3 && !(round > 0 && enough(0) && enough(1)); round++) {
    for (const offload of ['on', 'off'] as const) {
      await guest.join(server.url, '-offload', offload);
      const [up, down] = [await rate(guest, 25_219), await rate(guest, 25_219, '-R')];
      best[offload] = [Math.max(best[offload][0], up), Math.max(best[offload][1], down)];
      await guest.stop();
    }
  }
  const text = ([up, down]: [number, number]): string => `${up.toFixed(2)} up, ${down.toFixed(2)} down`;
  t.diagnostic(`Gbit/s with offload ${text(best.on)}; without ${text(best.off)}`);
  assert.ok(enough(0) && enough(1), `${text(best.on)} and ${text(best.off)}`);
});

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

test('the program is where package.json says', () => {
  const { bin } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { bin: Record<string, string> };
  assert.deepEqual([bin['gvforwarder'], bin['qemu-wrapper']], ['bin/gvforwarder', 'bin/qemu-wrapper']);
});
