/** Router and neighbour discovery as programs and a kernel that check them see it. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { configured, GATEWAY, HOST, OWN, PREFIX, ROUTER } from './ipv6-guest.ts';
import { Gvproxy } from './gvproxy.ts';
import { Namespace } from './namespace.ts';
import { succeed, temporaryFolder } from './process.ts';
import { missing } from './requirement.ts';

const CONFIG = `stack: { subnet6: "${PREFIX}::/64", mtu: 1400, dnsSearchDomains: [lan.example, corp.example] }\n`;
const GATEWAY_MAC = '5A:94:EF:E4:0C:DD';

describe('discovery by rdisc6, ndisc6 and a kernel', { skip: missing('root', 'tun', 'ip', 'rdisc6', 'ndisc6', 'tshark') }, () => {
  let gvproxy: Gvproxy;
  let guest: Namespace;
  const folder = temporaryFolder();
  const capture = join(folder, 'capture.pcapng');

  before(async () => {
    const file = join(folder, 'config.yaml');
    writeFileSync(file, CONFIG.replace('stack: {', `stack: { capture-file: ${capture},`));
    gvproxy = await Gvproxy.start({ flags: ['-config', file] });
    guest = await Namespace.create(gvproxy.socket);
    await configured(guest);
  });
  after(() => guest.remove());

  test('rdisc6 hears of one router, and every field says what is documented', async () => {
    const printed = await guest.succeed('rdisc6', '-n', '-m', '-w', '1000', '-r', '1', 'tap0');
    const lines = printed.split('\n').map((line) => line.replace(/\s+/g, ' ').replace(' :', ':').trim());
    assert.deepEqual(lines.filter(Boolean), [
      'Soliciting ff02::2 (ff02::2) on tap0...',
      'Hop limit: 64 ( 0x40)',
      'Stateful address conf.: Yes',
      'Stateful other conf.: Yes',
      'Mobile home agent: No',
      'Router preference: medium',
      'Neighbor discovery proxy: No',
      'Router lifetime: 65535 (0x0000ffff) seconds',
      'Reachable time: unspecified (0x00000000)',
      'Retransmit time: unspecified (0x00000000)',
      `Source link-layer address: ${GATEWAY_MAC}`,
      'MTU: 1400 bytes (valid)',
      `Prefix: ${PREFIX}::/64`,
      'On-link: Yes',
      'Autonomous address conf.: Yes',
      'Valid time: infinite (0xffffffff)',
      'Pref. time: infinite (0xffffffff)',
      `Recursive DNS server: ${GATEWAY}`,
      'DNS server lifetime: 65535 (0x0000ffff) seconds',
      'DNS search list: lan.example corp.example',
      'DNS search list lifetime: 65535 (0x0000ffff) seconds',
      `from ${ROUTER}`,
    ]);
    assert.match(await guest.succeed('ip', '-6', 'route', 'show', 'default'), /hoplimit 64/);
    assert.match(await guest.succeed('sh', '-c', 'cat /proc/sys/net/ipv6/conf/tap0/mtu'), /^1400$/m, 'as its kernel has taken it');
  });

  test("ndisc6 finds the gateway's addresses, from any of the guest's own, and nobody at others", async () => {
    for (const address of [GATEWAY, HOST, ROUTER]) {
      for (const source of [[], ['-s', OWN], ['-s', 'fe80::5894:efff:fee4:cee']]) {
        const found = await guest.succeed('ndisc6', '-n', '-1', '-w', '1000', ...source, address, 'tap0');
        assert.match(found, new RegExp(`Target link-layer address: ${GATEWAY_MAC}\\s+from ${address}`), `${address} ${source.join(' ')}`);
      }
    }
    for (const address of [`${PREFIX}::77`, 'fe80::1']) {
      const { status, stderr, stdout } = await guest.run('ndisc6', '-n', '-r', '1', '-w', '200', address, 'tap0');
      assert.deepEqual([status, /No response/.test(stdout + stderr)], [2, true], address);
    }
  });

  test("a guest that wants one of the gateway's addresses finds that it is taken", async () => {
    for (const address of [GATEWAY, HOST, ROUTER]) {
      await guest.succeed('ip', 'addr', 'add', `${address}/64`, 'dev', 'tap0');
      await configured(guest);
      assert.match(await guest.succeed('ip', '-6', 'addr', 'show', 'dev', 'tap0'), new RegExp(`${address}/64 .*dadfailed`));
      await guest.succeed('ip', 'addr', 'del', `${address}/64`, 'dev', 'tap0');
    }
    assert.match(await guest.succeed('ping', '-6', '-c', '1', '-W', '2', HOST), / 0% packet loss/, 'and goes on as it was');
  });

  test('every message of the gateway has the form that RFC 4861 §4 and §7 want', async () => {
    await gvproxy.process.kill('SIGTERM');
    const fields = ['ipv6.hlim', 'icmpv6.code', 'icmpv6.checksum.status', 'icmpv6.type', 'ipv6.src', 'ipv6.dst'];
    const flags = ['icmpv6.nd.na.flag.r', 'icmpv6.nd.na.flag.s', 'icmpv6.nd.na.flag.o', 'icmpv6.nd.na.target_address'];
    const filter = `icmpv6.type >= 133 && icmpv6.type <= 137 && eth.src == ${GATEWAY_MAC.toLowerCase()}`;
    const printed = await succeed('tshark', [
      ...['-r', capture, '-Y', filter, '-T', 'fields'],
      ...[...fields, ...flags, 'icmpv6.opt.linkaddr'].flatMap((field) => ['-e', field]),
    ]);
    const answers = printed
      .trim()
      .split('\n')
      .map((line) => line.split('\t'));
    const seen = { router: 0, asked: 0, tested: 0 };
    for (const answer of answers) {
      const [hops, code, checksum, type, source, destination, router, solicited, override, target, link] = answer;
      const line = answer.join(' ');
      assert.deepEqual([hops, code, checksum, link], ['255', '0', '1', GATEWAY_MAC.toLowerCase()], line);
      if (type === '134') {
        seen.router++;
        assert.equal(source, ROUTER);
        continue;
      }
      assert.deepEqual([type, router, override, target], ['136', '1', '1', source], line);
      // Who has no address yet can't be answered alone.
      assert.equal(solicited, destination === 'ff02::1' ? '0' : '1', line);
      if (destination === 'ff02::1') seen.tested++;
      else seen.asked++;
    }
    assert.ok(seen.router >= 2 && seen.asked >= 9 && seen.tested >= 3, JSON.stringify(seen));
  });
});
