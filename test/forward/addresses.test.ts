import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClientAddress } from '../../src/forward/client-address.ts';
import { ForwardError, type ForwardErrorCode } from '../../src/forward/forward.ts';
import { hostPort, parseLocal, resolveLocal } from '../../src/forward/local-address.ts';
import { parseRemote, parseUnixRemote } from '../../src/forward/remote-address.ts';
import { IpAddress, parseIpv4 } from '../../src/packet/address.ts';

/** Of a network without IPv6. */
const guest = (address: string): string | undefined => {
  if (address.includes(':')) return '';
  return address.startsWith('192.168.127.') ? undefined : `${address} is elsewhere`;
};

/** What is thrown, as `code: message`. */
function refusal(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof ForwardError);
    return `${error.code satisfies ForwardErrorCode}: ${error.message}`;
  }
  throw new Error('nothing was thrown');
}

test('§14.1: the local side is host and port, of which either may be missing', () => {
  assert.deepEqual(parseLocal('tcp', '127.0.0.1:80'), { host: '127.0.0.1', port: 80 });
  assert.deepEqual(parseLocal('tcp', ':9090'), { host: '', port: 9090 });
  assert.deepEqual(parseLocal('tcp', ''), { host: '', port: 0 });
  assert.deepEqual(parseLocal('tcp', 'localhost:'), { host: 'localhost', port: 0 });
  assert.deepEqual(parseLocal('udp', '[::1]:53'), { host: '::1', port: 53 });
  assert.deepEqual(parseLocal('udp', '[]:53'), { host: '', port: 53 });
});

test("§14.2: a local side that can't be read is answered in Go's words", () => {
  const cases: [text: string, reason: string][] = [
    ['8080', 'listen tcp: address 8080: missing port in address'],
    ['[::1]', 'listen tcp: address [::1]: missing port in address'],
    ['::1:80', 'listen tcp: address ::1:80: too many colons in address'],
    ['[::1:80', 'listen tcp: address [::1:80: too many colons in address'],
    ['a]:80', 'listen tcp: address a]:80: unexpected bracket in address'],
    ['127.0.0.1:ssh', 'listen tcp: lookup tcp/ssh: unknown port'],
    ['127.0.0.1:-1', 'listen tcp: lookup tcp/-1: unknown port'],
    ['127.0.0.1:65536', 'listen tcp: address 65536: invalid port'],
  ];
  for (const [text, reason] of cases)
    assert.equal(
      refusal(() => parseLocal('tcp', text)),
      `address: ${reason}`,
    );
});

test('§14.1: names of hosts are resolved, IPv4 first', async () => {
  assert.equal((await resolveLocal('tcp', 'localhost')).toString(), '127.0.0.1');
  assert.equal((await resolveLocal('tcp', '')).toString(), '::');
  assert.equal((await resolveLocal('tcp', '::1')).toString(), '::1');
  const wanted = { name: 'ForwardError', code: 'address', message: /^listen udp: lookup nobody\.invalid: / };
  await assert.rejects(resolveLocal('udp', 'nobody.invalid'), wanted);
});

test('an address is printed as Go prints it', () => {
  const print = (host: string, address: string): string => hostPort(host, IpAddress.parse(address)!, 80);
  assert.deepEqual([print('', '::'), print('::1', '::1'), print('box', '10.0.0.1')], [':80', '[::1]:80', '10.0.0.1:80']);
});

test('where guests have IPv6 the remote side may be of it, in brackets', () => {
  const guest6 = (address: string): string | undefined => (address.startsWith('fd00::') ? undefined : `${address} is elsewhere`);
  const { address, port } = parseRemote('[fd00:0::2]:8080', guest6);
  assert.equal(`${address.toString()} ${port}`, 'fd00::2 8080');
  for (const [text, why] of [
    ['[2001:db8::1]:80', 'address: cannot forward to [2001:db8::1]:80: 2001:db8::1 is elsewhere'],
    ['[fd00::2]:0', 'address: cannot forward to [fd00::2]:0: there is no port 0'],
    ['[10.0.0.1]:80', 'address: invalid remote addr'],
    ['[guest]:80', 'address: invalid remote addr'],
    ['fd00::2:80', 'remote: address fd00::2:80: too many colons in address'],
  ] as const)
    assert.equal(
      refusal(() => parseRemote(text, guest6)),
      why,
    );
});

test('§14.1: the remote side is an IPv4 literal and a port', () => {
  const { address, port } = parseRemote('192.168.127.2:8080', guest);
  assert.equal(`${address.toString()} ${port}`, '192.168.127.2 8080');
  const cases: [text: string, refusal: string][] = [
    ['192.168.127.2', 'remote: address 192.168.127.2: missing port in address'],
    ['', 'remote: address : missing port in address'],
    ['::1:80', 'remote: address ::1:80: too many colons in address'],
    ['[::1]:80', 'address: invalid remote addr'],
    ['192.168.127.2:http', 'address: strconv.ParseUint: parsing "http": invalid syntax'],
    ['192.168.127.2:', 'address: strconv.ParseUint: parsing "": invalid syntax'],
    ['192.168.127.2:65536', 'address: strconv.ParseUint: parsing "65536": value out of range'],
    ['192.168.127.2:0', 'address: cannot forward to 192.168.127.2:0: there is no port 0'],
    ['8.8.8.8:53', 'address: cannot forward to 8.8.8.8:53: 8.8.8.8 is elsewhere'],
  ];
  for (const [text, wanted] of cases)
    assert.equal(
      refusal(() => parseRemote(text, guest)),
      wanted,
    );
});

test('§16.14: a remote host that is no IPv4 literal is refused', () => {
  const remote = (text: string): string => refusal(() => parseRemote(text, guest));
  assert.equal(remote('guest:80'), 'remote: address guest:80: "guest" is no IPv4 address of a guest');
  assert.equal(remote(':80'), 'remote: address :80: "" is no IPv4 address of a guest');
  assert.equal(remote('192.168.127.300:80'), 'remote: address 192.168.127.300:80: "192.168.127.300" is no IPv4 address of a guest');
});

test('§14.2: the remote side of a unix forward is a URL of two kinds', () => {
  const parsed = parseUnixRemote('tcp://192.168.127.2:80', guest);
  assert.equal(parsed.kind === 'tcp' && parsed.target.port, 80);
  assert.deepEqual(parseUnixRemote('ssh-tunnel://root@192.168.127.2/run/x.sock?key=/k', guest), { kind: 'ssh-tunnel' });
  const cases: [text: string, refusal: string][] = [
    ['http://192.168.127.2:80', 'unsupported: remote protocol for unix forwarder is not implemented: http'],
    ['', 'unsupported: remote protocol for unix forwarder is not implemented: '],
    [
      '192.168.127.2:80',
      'address: failed to parse remote uri :192.168.127.2:80 : parse "192.168.127.2:80": first path segment in URL cannot contain colon',
    ],
    [':80', 'address: failed to parse remote uri ::80 : parse ":80": missing protocol scheme'],
    ['tcp://192.168.127.2', 'remote: address 192.168.127.2: missing port in address'],
    ['tcp:192.168.127.2:80', 'remote: address : missing port in address'],
  ];
  for (const [text, wanted] of cases)
    assert.equal(
      refusal(() => parseUnixRemote(text, guest)),
      wanted,
    );
});

test("§19 #634: a guest sees a client's address where its answers come back, and the gateway elsewhere", () => {
  const gateway = IpAddress.parse('192.168.127.1')!;
  const guest = IpAddress.parse('192.168.127.2')!;
  const options = {
    gatewayFor: () => gateway,
    isOutside: ({ w3 }: IpAddress): boolean => w3 >>> 24 !== 127 && w3 >>> 8 !== 0xc0a87f,
    taken: new Set([parseIpv4('10.9.9.9')!]),
  };
  const clients = new ClientAddress({ ...options, preserve: true });
  const seen = (text: string): string => clients.seenAs(IpAddress.parse(text)!, guest).toString();
  assert.equal(seen('203.0.113.7'), '203.0.113.7');
  assert.equal(seen('::ffff:203.0.113.7'), '203.0.113.7');
  for (const text of ['127.0.0.1', '192.168.127.77', '10.9.9.9', '169.254.1.1', '2001:db8::1', '::']) {
    assert.equal(seen(text), '192.168.127.1', text);
  }
  assert.equal(clients.seenAs(IpAddress.parse('203.0.113.7')!, IpAddress.parse('fd00::2')!), gateway, 'of the other version');
  const outside = new ClientAddress({ ...options, isOutside: () => true, preserve: true });
  const client = IpAddress.parse('2001:db8::1')!;
  assert.equal(outside.seenAs(client, IpAddress.parse('fd00::2')!), client);
  const never = new ClientAddress({ ...options, preserve: false });
  assert.equal(never.seenAs(IpAddress.parse('203.0.113.7')!, guest), gateway);
});
