import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { delay } from './process.ts';
import { missing } from './requirement.ts';
import { RoutedHost, type Seen } from './routed-host.ts';

const PEER = '10.77.2.2';

describe("the host's network, as its routers and changes reach guests", { skip: missing('root', 'ip') }, () => {
  let world: RoutedHost;

  before(async () => {
    world = await RoutedHost.create();
    await world.serve(world.peer);
    await world.serve(world.host, '127.0.0.1', '127.0.0.2');
    writeFileSync(world.resolvConf, 'nameserver 127.0.0.1\n');
    await world.start();
  });
  after(() => world.remove());

  const isIcmp = (seen: Seen): boolean => 'icmp' in seen;
  const isUdp = (seen: Seen): boolean => 'udp' in seen;

  test('a closed port of a peer beyond a router is refused by the peer', async () => {
    world.say(`udp ${PEER} 9 100 df`);
    assert.deepEqual(await world.see(isIcmp), { icmp: '3/3', mtu: 0, from: PEER, about: `192.168.127.77:5000 to ${PEER}:9` });
  });

  test('hops that are used up are reported by the router where they were', async () => {
    world.say(`udp ${PEER} 33434 12 df 1`);
    assert.deepEqual(await world.see(isIcmp), { icmp: '11/0', mtu: 0, from: '10.77.1.1', about: `192.168.127.77:5000 to ${PEER}:33434` });
    world.say(`udp ${PEER} 33434 12 df 2`);
    assert.equal((await world.see(isIcmp))['icmp'], '3/3');
  });

  test('what a router says of other networks is said to the guest', async () => {
    world.say('udp 10.77.3.1 9 10 df');
    const unreachable = await world.see(isIcmp);
    assert.deepEqual([unreachable['icmp'], unreachable['from']], ['3/1', '10.77.1.1']);
    world.say('udp 10.77.4.1 9 10 df');
    const prohibited = await world.see(isIcmp);
    assert.deepEqual([prohibited['icmp'], prohibited['from']], ['3/13', '10.77.1.1']);
  });

  test('a datagram that must not be fragmented is reported with the MTU, by the router and then by the host', async () => {
    // At first the host does not know the path.
    world.say(`udp ${PEER} 7 1400 df`);
    assert.deepEqual(await world.see(isIcmp), { icmp: '3/4', mtu: 1000, from: '10.77.1.1', about: `192.168.127.77:5000 to ${PEER}:7` });
    world.say(`udp ${PEER} 7 1400 df`);
    assert.deepEqual(await world.see(isIcmp), { icmp: '3/4', mtu: 1000, from: '192.168.127.1', about: `192.168.127.77:5000 to ${PEER}:7` });
    world.say(`udp ${PEER} 7 972 df`);
    assert.equal((await world.see(isUdp))['udp'], 980);
    world.say(`udp ${PEER} 7 973 df`);
    assert.equal((await world.see(isIcmp))['icmp'], '3/4');
  });

  test('one that may be fragmented is, by the host, and the answer comes back whole', async () => {
    world.say(`udp ${PEER} 7 1401 may`);
    assert.equal((await world.see(() => true))['udp'], 1409);
  });

  test('a TCP connection outlives the loss of its network', async () => {
    world.say(`connect ${PEER} 7`);
    await world.see((seen) => seen['connected'] === true);
    world.say('say before');
    await world.see((seen) => seen['heard'] === 'before');
    await world.ip(world.host, 'link', 'set', 'up0', 'down');
    world.say('say between');
    world.say(`udp ${PEER} 7 10 df`);
    assert.equal((await world.see(isIcmp))['icmp'], '3/0', 'a datagram hears of it at once');
    await delay(300);
    await world.ip(world.host, 'link', 'set', 'up0', 'up');
    await world.ip(world.host, 'route', 'add', 'default', 'via', '10.77.1.1');
    await world.see((seen) => seen['heard'] === 'between', 10_000);
    world.say(`udp ${PEER} 7 10 df`);
    await world.see(isUdp);
  });

  test('when the host changes its address, datagrams of conversations that were open go on from the new one', async () => {
    world.say(`udp ${PEER} 7 20 df`);
    await world.see(isUdp);
    await world.ip(world.host, 'addr', 'del', '10.77.1.2/24', 'dev', 'up0');
    await world.ip(world.host, 'addr', 'add', '10.77.1.3/24', 'dev', 'up0');
    await world.ip(world.host, 'route', 'add', 'default', 'via', '10.77.1.1');
    // The first finds that the socket is useless, and the next opens another.
    world.say(`udp ${PEER} 7 21 df`);
    await delay(100);
    world.say(`udp ${PEER} 7 22 df`);
    assert.equal((await world.see(isUdp))['udp'], 30);
    world.say(`connect ${PEER} 7`);
    await world.see((seen) => seen['connected'] === true);
    world.say('say moved');
    await world.see((seen) => seen['heard'] === 'moved');
  });

  test('names are asked of the resolver that resolv.conf names now', async () => {
    world.say('resolve one.example');
    assert.deepEqual((await world.see((seen) => 'resolved' in seen))['resolved'], ['127.0.0.1']);
    writeFileSync(world.resolvConf, 'nameserver 127.0.0.2\n');
    // Looked at once a second.
    await delay(1100);
    world.say('resolve two.example');
    assert.deepEqual((await world.see((seen) => 'resolved' in seen))['resolved'], ['127.0.0.2']);
  });
});
