import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError, placeInSubnet, planAddresses } from '../../src/config/subnet.ts';
import { parseIpv4 } from '../../src/packet/address.ts';

test('derives the addresses, by default in 192.168.127.0/24', () => {
  assert.deepEqual(planAddresses(), planAddresses('192.168.127.0/24', '', '', ''));
  const plan = { subnet: '10.1.0.0/16', gatewayIP: '10.1.0.1', deviceIP: '10.1.9.9', hostIP: '10.1.255.254' };
  assert.deepEqual(planAddresses('10.1.0.0/16', '', '10.1.9.9'), plan);
});

test("gives the network's address, whichever of its addresses was written", () => {
  assert.deepEqual(planAddresses('10.0.0.5/24'), planAddresses('10.0.0.0/24'));
  assert.equal(planAddresses('10.0.0.5/24').subnet, '10.0.0.0/24');
  // Contract §2.3 row 5: compared with the address as written.
  assert.throws(
    () => planAddresses('10.0.0.1/24'),
    new ConfigError('failed to validate configuration IPs: IP must not be address of subnet: 10.0.0.1'),
  );
});

test('refuses networks in which no guest can have an address', () => {
  for (const subnet of [
    '127.0.0.0/8',
    '127.1.0.0/24',
    '64.0.0.0/2',
    '0.0.0.0/0',
    '0.1.0.0/16',
    '224.0.0.0/24',
    '239.1.1.0/24',
    '255.255.255.0/24',
  ]) {
    assert.throws(
      () => planAddresses(subnet),
      /^ConfigError: subnet \S+ overlaps \S+, which .*: want a network such as 192.168.127.0\/24$/,
      subnet,
    );
  }
  for (const subnet of ['10.0.0.0/8', '126.255.0.0/16', '128.0.0.0/24', '223.255.255.0/24', '1.0.0.0/8', '240.0.0.0/24']) {
    assert.equal(planAddresses(subnet).subnet, subnet);
  }
});

test("keeps gvproxy's messages for what gvproxy refuses", () => {
  assert.throws(() => planAddresses('nonsense'), new ConfigError('failed to parse subnet: invalid CIDR address: nonsense'));
  assert.throws(() => planAddresses('10.0.0.0/33'), new ConfigError('failed to parse subnet: invalid CIDR address: 10.0.0.0/33'));
  const small = 'failed to identify usable gateway IP address in subnet: subnet too small';
  assert.throws(() => planAddresses('10.0.0.0/30'), new ConfigError(small));
});

test('tells addresses of guests from those of the network and from others', () => {
  const place = (text: string): string => placeInSubnet(parseIpv4(text)!, '192.168.127.0/24');
  assert.deepEqual(['192.168.127.0', '192.168.127.255'].map(place), ['reserved', 'reserved']);
  assert.deepEqual(['192.168.127.1', '192.168.127.254'].map(place), ['guest', 'guest']);
  assert.deepEqual(['192.168.126.255', '192.168.128.0', '8.8.8.8'].map(place), ['outside', 'outside', 'outside']);
});
