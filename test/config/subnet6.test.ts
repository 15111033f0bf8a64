import assert from 'node:assert/strict';
import { test } from 'node:test';
import { internalZones } from '../../src/config/defaults.ts';
import { parseDialTarget, parseForwardTarget, whyNoGuest } from '../../src/config/forward-address.ts';
import { resolveOptions } from '../../src/config/resolve.ts';
import { ConfigError } from '../../src/config/subnet.ts';
import { planIpv6 } from '../../src/config/subnet6.ts';
import { natOf } from '../../src/network-parts.ts';

const SUBNET = '192.168.127.0/24';

test('is off unless something says that it is wanted', () => {
  assert.equal(planIpv6({}, SUBNET, 1500), undefined);
  assert.equal(planIpv6({ ipv6: false, subnet6: '' }, SUBNET, 68), undefined);
  for (const choice of [{ ipv6: true }, { hostIP6: 'fdd6:57a3:2d21:5ad0::9' }, { subnet6: 'fd00:1:2:3::/64' }])
    assert.ok(planIpv6(choice.hostIP6 === undefined ? choice : { ipv6: true }, SUBNET, 1500));
});

test('derives a unique local prefix of the IPv4 subnet, the same each time', () => {
  const plan = planIpv6({ ipv6: true }, SUBNET, 1500)!;
  assert.match(plan.subnet6, /^fd[0-9a-f]{2}(:[0-9a-f]{1,4}){3}::\/64$/);
  const prefix = plan.subnet6.slice(0, -'::/64'.length);
  assert.deepEqual(plan, {
    subnet6: `${prefix}::/64`,
    gatewayIP6: `${prefix}::1`,
    deviceIP6: `${prefix}::2`,
    hostIP6: `${prefix}::254`,
  });
  assert.deepEqual(planIpv6({ ipv6: true }, SUBNET, 1500), plan);
  assert.notEqual(planIpv6({ ipv6: true }, '10.0.0.0/24', 1500)!.subnet6, plan.subnet6);
});

test('takes a prefix and addresses that are given, and writes them as RFC 5952 does', () => {
  const given = { subnet6: '2001:0db8:0:0::7/64', gatewayIP6: '2001:db8::0:a', hostIP6: '2001:db8::b' };
  assert.deepEqual(planIpv6(given, SUBNET, 1280), {
    subnet6: '2001:db8::/64',
    gatewayIP6: '2001:db8::a',
    deviceIP6: '2001:db8::2',
    hostIP6: '2001:db8::b',
  });
});

test('says what cannot be', () => {
  const cases: [Parameters<typeof planIpv6>[0], RegExp][] = [
    [
      { subnet6: 'fd00:1::/64,fd00:2::/64' },
      /^subnet6 can't be "fd00:1::\/64,fd00:2::\/64": a network has one prefix, not several; want one \/64/,
    ],
    [{ subnet6: 'fd00::/48' }, /: guests make their addresses in a \/64, not in a \/48;/],
    [{ subnet6: 'fd00::' }, /: it is no prefix of IPv6;/],
    [{ subnet6: '10.0.0.0/64' }, /: it is no prefix of IPv6;/],
    [{ subnet6: 'fe80::/64' }, /: it is neither of 2000::\/3 nor of fc00::\/7;/],
    [{ subnet6: 'ff02::/64' }, /neither/],
    [{ subnet6: '::/64' }, /neither/],
    [
      { subnet6: 'fd00::/64', gatewayIP6: 'fd00:0:0:1::1' },
      /^gatewayIP6 can't be "fd00:0:0:1::1": want an address of a host in fd00::\/64$/,
    ],
    [{ subnet6: 'fd00::/64', deviceIP6: 'fd00::' }, /^deviceIP6 can't be/],
    [{ subnet6: 'fd00::/64', hostIP6: '10.0.0.1' }, /^hostIP6 can't be/],
    [{ subnet6: 'fd00::/64', hostIP6: 'fd00::1' }, /need to be distinct, not fd00::1, fd00::2 and fd00::1$/],
    [{ ipv6: false, gatewayIP6: 'fd00::1' }, /^gatewayIP6 is fd00::1, but ipv6 is off: leave out one of them$/],
    [{ ipv4: false }, /^guests need an address: ipv4 is off, and ipv6 is not on$/],
    [{ ipv6: 'yes' as unknown as boolean }, /^ipv6 can't be "yes": want true or false$/],
    [{ ipv4: 0 as unknown as boolean }, /^ipv4 can't be 0: want true or false$/],
  ];
  for (const [choice, message] of cases) {
    assert.throws(
      () => planIpv6(choice, SUBNET, 1500),
      (error: Error) => error instanceof ConfigError && message.test(error.message),
      JSON.stringify(choice),
    );
  }
  assert.throws(() => planIpv6({ ipv6: true }, SUBNET, 1279), new ConfigError('mtu 1279 is too small for IPv6: want 1280 or more'));
});

test('the options of a network have it only when it is on', () => {
  assert.equal('subnet6' in resolveOptions({ ipv6: false }), false);
  const { ipv4, ipv6, subnet6, dns } = resolveOptions({ subnet6: 'fd00:1:2:3::/64' });
  assert.deepEqual([ipv4, ipv6, subnet6], [true, true, 'fd00:1:2:3::/64']);
  assert.deepEqual(dns[0]!.records, [
    { name: 'gateway', ip: '192.168.127.1' },
    { name: 'host', ip: '192.168.127.254' },
    { name: 'gateway', ip: 'fd00:1:2:3::1' },
    { name: 'host', ip: 'fd00:1:2:3::254' },
  ]);
  const plan = planIpv6({ subnet6: 'fd00:1:2:3::/64' }, SUBNET, 1500);
  assert.deepEqual(
    internalZones('192.168.127.1', '192.168.127.254', plan, false)[0]!.records.map(({ ip }) => ip),
    ['fd00:1:2:3::1', 'fd00:1:2:3::254'],
  );
});

test('forwards lead to its guests, and to nothing else of it', () => {
  const network = resolveOptions({ subnet6: 'fd00:1:2:3::/64' });
  assert.equal(parseForwardTarget('[fd00:1:2:3:0::9]:80', network).address.toString(), 'fd00:1:2:3::9');
  assert.equal(parseForwardTarget('192.168.127.2:80', network).address.toString(), '192.168.127.2');
  for (const [target, why] of [
    ['[fd00:1:2:3::1]:80', "is the gateway's"],
    ['[fd00:1:2:3::254]:80', "is the gateway's"],
    ['[fd00:1:2:3::]:80', 'is not in'],
    ['[fd00:1:2:4::2]:80', 'is not in'],
    ['[::1]:80', 'is not in'],
  ] as const)
    assert.throws(() => parseForwardTarget(target, network), new RegExp(why), target);
  const only = resolveOptions({ ipv4: false, ipv6: true });
  assert.throws(() => parseForwardTarget('192.168.127.2:80', only), /which guests don't have/);
});

test('guests are dialled by addresses with and without brackets', () => {
  const network = resolveOptions({ subnet6: 'fd00:1:2:3::/64' });
  for (const [host, address] of [
    ['fd00:1:2:3::9', 'fd00:1:2:3::9'],
    ['[fd00:1:2:3:0::9]', 'fd00:1:2:3::9'],
    ['192.168.127.2', '192.168.127.2'],
  ] as const) {
    const target = parseDialTarget(host, 22, network);
    assert.deepEqual([target.address.toString(), target.port], [address, 22]);
  }
  for (const host of ['fd00:1:2:3::1', 'fd00:1:2:3::9:', '::1', 'example', ''])
    assert.throws(() => parseDialTarget(host, 22, network), ConfigError);
  assert.throws(() => parseDialTarget('fd00:1:2:3::9', 22, resolveOptions()), ConfigError);
});

test('nat and the gateway’s other addresses are of both versions, and the host’s address leads to ::1 unless nat says otherwise', () => {
  const subnet6 = 'fd00:1:2:3::/64';
  const pairs = (nat?: Record<string, string>): string[] =>
    natOf(resolveOptions({ subnet6, ...(nat && { nat }) })).map(([from, to]) => `${from.toString()} ${to.toString()}`);
  assert.deepEqual(pairs(), ['fd00:1:2:3::254 ::1', '192.168.127.254 127.0.0.1']);
  assert.deepEqual(pairs({ '2001:db8::07': '2001:db8:0::8' }), ['fd00:1:2:3::254 ::1', '2001:db8::7 2001:db8::8']);
  assert.deepEqual(pairs({ 'fd00:1:2:3:0:0:0:254': 'fd00:9::1' }), ['fd00:1:2:3::254 fd00:9::1']);
  assert.deepEqual(natOf(resolveOptions()).length, 1);

  const network = resolveOptions({ subnet6, gatewayVirtualIPs: ['192.168.127.9', 'fd00:1:2:3:0::77'] });
  assert.equal(whyNoGuest('fd00:1:2:3::77', network), "fd00:1:2:3::77 is the gateway's");
  assert.equal(whyNoGuest('fd00:1:2:3::78', network), undefined);
  for (const [options, message] of [
    [{ nat: { '2001:db8::7': '127.0.0.1' } }, /^nat\["2001:db8::7"\] can't be "127.0.0.1": want an IPv6 address, as the key is$/],
    [{ nat: { '10.0.0.1': '::1' } }, /^nat\["10.0.0.1"\] can't be "::1": want an IPv4 address, as the key is$/],
    [{ nat: { 'fd00::x': '::1' } }, /^a key of nat can't be "fd00::x": want an IPv4 or IPv6 address/],
    [
      { gatewayVirtualIPs: ['fd00:1:2:4::7'] },
      /^gatewayVirtualIPs can't be "fd00:1:2:4::7": want an address of a host in fd00:1:2:3::\/64$/,
    ],
    [{ gatewayVirtualIPs: ['fd00:1:2:3::1'] }, /^gatewayVirtualIPs can't be "fd00:1:2:3::1": want an address of a host/],
    [{ gatewayVirtualIPs: ['fd00:1:2:3::'] }, /^gatewayVirtualIPs can't be "fd00:1:2:3::": want an address of a host/],
  ] as const)
    assert.throws(() => resolveOptions({ subnet6, ...options }), { name: 'ConfigError', message });
  assert.throws(() => resolveOptions({ nat: { '2001:db8::7': '::1' } }), /want an IPv4 address/, 'guests have no IPv6');
});
