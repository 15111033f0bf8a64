/** Two kernels on a guarded network: what they do by themselves goes through, what one makes up about the other does not. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { claim, OTHER, RAW, routerAdvertisement } from './ipv6-frames.ts';
import { configured, GATEWAY, HOST, OWN, PREFIX, ROUTER } from './ipv6-guest.ts';
import { Gvproxy } from './gvproxy.ts';
import { Namespace } from './namespace.ts';
import { succeed } from './process.ts';
import { missing } from './requirement.ts';

const skip = missing('root', 'tun', 'ip', 'ping', 'python3', 'curl', 'dhclient');
describe('kernels on a network with -guard lease', { skip }, () => {
  let gvproxy: Gvproxy;
  let guests: [Namespace, Namespace];

  before(async () => {
    const flags = (folder: string): string[] => ['-subnet6', `${PREFIX}::/64`, '-guard', 'lease', '-listen', `unix://${folder}/api.sock`];
    gvproxy = await Gvproxy.start({ flags });
    guests = [await Namespace.create(gvproxy.socket), await Namespace.create(gvproxy.socket, '5a:94:ef:e4:0c:ef')];
    await Promise.all([configured(guests[0]), configured(guests[1], OTHER)]);
  });
  after(() => Promise.all(guests.map((guest) => guest.remove())));

  const counters = async (): Promise<Record<string, number>> => {
    const text = await succeed('curl', ['-sS', '--unix-socket', join(gvproxy.folder, 'api.sock'), 'http:/unix/v1/counters']);
    return (JSON.parse(text) as { counters: { switch: Record<string, number> } }).counters.switch;
  };
  const dropped = async (): Promise<number> => {
    const { dropRouter, dropUnleased } = await counters();
    return dropRouter! + dropUnleased!;
  };

  test('addresses of all kinds are made, tested and used, and nothing is dropped', async () => {
    const [one, other] = guests;
    await one.succeed('sysctl', '-q', '-w', 'net.ipv6.conf.tap0.use_tempaddr=2');
    await one.succeed('ip', 'link', 'set', 'tap0', 'down');
    await one.succeed('ip', 'link', 'set', 'tap0', 'up');
    await configured(one);
    assert.match(await one.succeed('ip', '-6', 'addr', 'show', 'dev', 'tap0'), /scope global temporary/);
    const lease = join(gvproxy.folder, 'lease6');
    const files = ['-lf', lease, '-pf', join(gvproxy.folder, 'pid6')];
    await one.succeed('timeout', '30', 'dhclient', '-6', '-1', '-sf', '/bin/true', ...files, 'tap0');
    await one.succeed('timeout', '10', 'dhclient', '-6', '-x', '-sf', '/bin/true', ...files, 'tap0');
    assert.match(readFileSync(lease, 'utf8'), new RegExp(`iaaddr ${PREFIX}::2 {`));
    await one.succeed('ip', 'addr', 'add', `${PREFIX}::2/64`, 'dev', 'tap0');
    await configured(one, `${PREFIX}::2`);
    const pings: [Namespace, string[]][] = [
      [one, [GATEWAY]],
      [one, [HOST]],
      [one, [OTHER]],
      [one, ['-I', `${PREFIX}::2`, OTHER]],
      [one, [`${ROUTER}%tap0`]],
      [other, ['fe80::5894:efff:fee4:cee%tap0']],
      [other, [`${PREFIX}::2`]],
    ];
    for (const [guest, to] of pings)
      assert.match(await guest.succeed('ping', '-6', '-c', '1', '-W', '3', ...to), / 0% packet loss/, to.join());
    assert.equal(await dropped(), 0);
  });

  test('a router that a VM makes up is heard of by nobody', async () => {
    const [one, other] = guests;
    const own = 'fe80::5894:efff:fee4:cef';
    await other.succeed('python3', '-c', RAW, '5', routerAdvertisement(own));
    assert.equal(await dropped(), 5);
    await one.succeed('ping', '-6', '-c', '1', '-W', '3', OTHER);
    const addresses = await one.succeed('ip', '-6', 'addr', 'show', 'dev', 'tap0');
    assert.ok(addresses.includes(OWN) && !addresses.includes('fd66:'), addresses);
    const routes = await one.succeed('ip', '-6', 'route', 'show', 'default');
    assert.ok(routes.includes(ROUTER) && !routes.includes(own), routes);
  });

  test("a VM can't take the gateway's place, nor another's, by a flood of claims", async () => {
    const [one, other] = guests;
    const before = await dropped();
    const targets = [OWN, `${PREFIX}::2`, GATEWAY, ROUTER, HOST];
    const claims = targets.flatMap((target) => [claim(OTHER, target), claim(target, target)]);
    await other.succeed('python3', '-c', RAW, '1000', ...claims);
    // The VM's own queue may be too short for some of them.
    const gone = (await dropped()) - before;
    assert.ok(gone > 5000 && gone <= 10_000, `${gone} of 10,000`);
    for (const address of [GATEWAY, ROUTER, HOST]) {
      assert.match(await one.succeed('ping', '-6', '-c', '1', '-W', '3', '-I', 'tap0', address), / 0% packet loss/, address);
    }
    const known = await one.succeed('ip', '-6', 'neigh', 'show', 'dev', 'tap0');
    for (const address of [GATEWAY, ROUTER]) assert.match(known, new RegExp(`^${address} lladdr 5a:94:ef:e4:0c:dd `, 'm'));
  });
});
