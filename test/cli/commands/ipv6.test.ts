/** The `guestwire` command about networks whose guests have IPv6; test/guest/qemu-command.test.ts has a guest that uses it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cells, createWorld } from './world.ts';

const PREFIX = 'fd12:3456:789a:1';
const BOTH = { subnet6: `${PREFIX}::/64` };

test('status tells the addresses of the versions that guests have', async (t) => {
  const told = async (options: object): Promise<(string | undefined)[]> => {
    const { guestwire } = await createWorld(t, options);
    return cells((await guestwire('status')).stdout)
      .filter(([what]) => ['subnet', 'gateway', 'first VM', "host's loopback"].includes(what!))
      .map(([, value]) => value);
  };
  const ipv4 = ['192.168.127.0/24', '192.168.127.1', '192.168.127.2', '192.168.127.254'];
  const ipv6 = [`${PREFIX}::/64`, `${PREFIX}::1`, `${PREFIX}::2`, `${PREFIX}::254`];
  assert.deepEqual(await told({}), ipv4);
  assert.deepEqual(await told(BOTH), [...ipv4, ...ipv6]);
  assert.deepEqual(await told({ ...BOTH, ipv4: false }), ipv6);
});

test('forwards lead to the IPv6 address that is named, from addresses of either version', async (t) => {
  const { guestwire, network } = await createWorld(t, BOTH);
  const added = await guestwire(`forward add [::1]:0:80 0:[${PREFIX}::9]:8080 udp:[::]:0:[${PREFIX}::9]:53`);
  assert.equal(added.status, 0, added.stderr);
  assert.deepEqual(
    cells(added.stdout)
      .slice(1)
      .map(([protocol, local, , remote]) => [protocol, local, remote]),
    [
      ['tcp', '[::1]:0', '192.168.127.2:80'],
      ['tcp', '127.0.0.1:0', `[${PREFIX}::9]:8080`],
      ['udp', '[::]:0', `[${PREFIX}::9]:53`],
    ],
  );
  const refused = await guestwire('forward add 127.0.0.2:0:[fd00::1]:80');
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /fd00::1/);
  assert.equal((await guestwire('forward rm [::1]:0')).status, 0);
  assert.equal(network.forwards.list().length, 2);
});

test('where guests have IPv6 alone forwards lead to its address of the first VM', async (t) => {
  const { guestwire } = await createWorld(t, { ...BOTH, ipv4: false });
  const { status, stdout, stderr } = await guestwire('forward add 0:80');
  assert.equal(status, 0, stderr);
  assert.equal(cells(stdout)[1]![3], `[${PREFIX}::2]:80`);
});

test('listings have IPv6: leases, names, and the guest that flows are asked of', async (t) => {
  const { guestwire } = await createWorld(t, BOTH);
  assert.deepEqual(
    cells((await guestwire('leases')).stdout).find(([address]) => address === `${PREFIX}::2`),
    [`${PREFIX}::2`, '5a:94:ef:e4:0c:ee'],
  );
  const names = cells((await guestwire('dns ls')).stdout);
  assert.ok(names.some(([, name, address]) => name === 'host' && address === `${PREFIX}::254`));
  assert.deepEqual((await guestwire(`flows --guest ${PREFIX}:0:0:0:2`)).status, 0);
  assert.match((await guestwire('flows --guest fd12::g')).stderr, /--guest can't be "fd12::g": want an IP address/);
});
