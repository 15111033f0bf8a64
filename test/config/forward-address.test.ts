import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseForwardKey, parseForwardLocal, parseForwardTarget } from '../../src/config/forward-address.ts';
import { ConfigError } from '../../src/config/subnet.ts';

const NETWORK = { subnet: '192.168.127.0/24', gatewayIP: '192.168.127.1', gatewayVirtualIPs: ['192.168.127.254'] };

test("reads the host's side", () => {
  const read = (text: string): string => {
    const { protocol, address, port } = parseForwardLocal(text);
    return `${protocol === 'udp' ? 'udp ' : ''}${address.toString()} ${port}`;
  };
  assert.equal(read('127.0.0.1:2222'), '127.0.0.1 2222');
  assert.equal(read('localhost:80'), '127.0.0.1 80');
  assert.equal(read(':80'), ':: 80');
  assert.equal(read('0.0.0.0:0'), '0.0.0.0 0');
  assert.equal(read('[::1]:65535'), '::1 65535');
  assert.equal(read('udp:127.0.0.1:53'), 'udp 127.0.0.1 53');
  assert.equal(read('udp::53'), 'udp :: 53');
});

test("says what is wrong with the host's side", () => {
  const cases: [unknown, string][] = [
    ['8378', '"8378": it is not an address and a port'],
    ['', '"": it is not an address and a port'],
    [8378, '8378: it is not an address and a port'],
    [undefined, 'undefined: it is not an address and a port'],
    ['127.0.0.1:', '"127.0.0.1:": it is not an address and a port'],
    ['::1:80', '"::1:80": it is not an address and a port'],
    ['127.0.0.1:ssh', '"127.0.0.1:ssh": it is not an address and a port'],
    ['127.0.0.1:99999', '"127.0.0.1:99999": there is no port 99999'],
    ['example.com:80', '"example.com:80": "example.com" is no IP address'],
    ['127.0.0.300:80', '"127.0.0.300:80": "127.0.0.300" is neither an IP address nor the name of a host'],
    ['[::g]:80', '"[::g]:80": it is not an address and a port'],
    ['udp:127.0.0.1', '"udp:127.0.0.1": it is not an address and a port'],
    ['UDP:127.0.0.1:53', '"UDP:127.0.0.1:53": it is not an address and a port'],
    ['a b:80', '"a b:80": "a b" is neither an IP address nor the name of a host'],
    ['-box:80', '"-box:80": "-box" is neither an IP address nor the name of a host'],
  ];
  const wanted = 'want ip:port, localhost:port or :port (every address of the host), for UDP with udp: in front, such as 127.0.0.1:2222';
  for (const [text, why] of cases) {
    assert.throws(() => parseForwardLocal(text as string), new ConfigError(`cannot forward from ${why}; ${wanted}`));
  }
});

test('§14.5: a key of the static forwards may begin with udp:, and name a host', () => {
  assert.deepEqual(parseForwardKey('udp:192.0.2.1:53'), { protocol: 'udp', local: '192.0.2.1:53' });
  assert.deepEqual(parseForwardKey('192.0.2.1:53'), { protocol: 'tcp', local: '192.0.2.1:53' });
  assert.deepEqual(parseForwardKey('box-1.example:80'), { protocol: 'tcp', local: 'box-1.example:80' });
  assert.deepEqual(parseForwardKey('udp:localhost:80'), { protocol: 'udp', local: 'localhost:80' });
  assert.throws(() => parseForwardKey('127.0.0.300:80'), ConfigError);
});

test("reads the guest's side", () => {
  const { address, port } = parseForwardTarget('192.168.127.2:22', NETWORK);
  assert.equal(`${address.toString()} ${port}`, '192.168.127.2 22');
});

test("says what is wrong with the guest's side", () => {
  const cases: [unknown, string][] = [
    ['nonsense', '"nonsense": it is not an address and a port'],
    [undefined, 'undefined: it is not an address and a port'],
    [':22', '":22": the address is missing'],
    ['guest:22', '"guest:22": "guest" is no IPv4 address'],
    ['[::1]:22', '"[::1]:22": "::1" is no IPv4 address'],
    ['192.168.127.2:99999', '"192.168.127.2:99999": there is no port 99999'],
    ['192.168.127.2:0', '"192.168.127.2:0": there is no port 0'],
    ['8.8.8.8:22', '"8.8.8.8:22": 8.8.8.8 is not in the virtual network'],
    ['192.168.127.255:22', '"192.168.127.255:22": 192.168.127.255 stands for the network itself'],
    ['192.168.127.1:22', '"192.168.127.1:22": 192.168.127.1 is the gateway\'s'],
    ['192.168.127.254:22', '"192.168.127.254:22": 192.168.127.254 is the gateway\'s'],
  ];
  for (const [text, why] of cases) {
    const message = `cannot forward to ${why}; want ip:port of a guest in 192.168.127.0/24`;
    assert.throws(() => parseForwardTarget(text as string, NETWORK), new ConfigError(message));
  }
});

test('what is wanted of a target is an address of a version that guests have', () => {
  const subnet6 = 'fd00:1::/64';
  const wanted = (network: Parameters<typeof parseForwardTarget>[1]): string => {
    try {
      parseForwardTarget('nonsense', network);
    } catch (error) {
      return (error as Error).message.replace(/^.*; want /, '');
    }
    return 'nothing';
  };
  assert.equal(wanted({ ...NETWORK, subnet6 }), 'ip:port of a guest in 192.168.127.0/24 or [ip]:port of one in fd00:1::/64');
  assert.equal(wanted({ ...NETWORK, subnet6, ipv4: false }), '[ip]:port of one in fd00:1::/64');
});
