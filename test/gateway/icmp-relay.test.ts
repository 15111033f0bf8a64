import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InboundPacket } from '../../src/gateway/packet.ts';
import { Neighbour } from '../../src/gateway/neighbour.ts';
import { IpAddress, MAPPED } from '../../src/packet/address.ts';
import { sum } from '../../src/packet/checksum.ts';
import * as icmp from '../../src/packet/icmpv4.ts';
import * as ipv4 from '../../src/packet/ipv4.ts';
import { address, GatewayBench } from './bench.ts';

function packet(bench: GatewayBench, destination: string): InboundPacket {
  const { bytes } = bench.arena;
  const at = bench.arena.allocate(4096);
  ipv4.write(bytes, at, 128, 0, 0, 64, ipv4.PROTOCOL_UDP, address('192.168.127.2'), address(destination));
  const it = new InboundPacket();
  it.bytes = bytes;
  it.neighbour = new Neighbour(0, 0, MAPPED, address('192.168.127.2'));
  it.neighbour.port = bench.port;
  it.header = at;
  it.payload = at + 20;
  it.end = at + 128;
  it.protocol = ipv4.PROTOCOL_UDP;
  it.source3 = address('192.168.127.2');
  it.destination3 = address(destination);
  return it;
}

test('what somebody beyond the gateway said comes from his address, with the MTU, quoting the packet', () => {
  for (const [from, source] of [
    [IpAddress.parse('10.9.8.7')!, '10.9.8.7'],
    [null, '192.168.127.1'],
  ] as const) {
    const bench = new GatewayBench();
    bench.gateway.icmp.relay(packet(bench, '1.1.1.1'), icmp.UNREACHABLE, icmp.CODE_FRAGMENTATION_NEEDED, 1400, from);
    const [frame] = bench.port.take();
    assert.equal(ipv4.source(frame!, 14), address(source));
    assert.equal(ipv4.destination(frame!, 14), address('192.168.127.2'));
    assert.deepEqual([icmp.type(frame!, 34), icmp.code(frame!, 34), icmp.nextHopMtu(frame!, 34)], [3, 4, 1400]);
    assert.equal(ipv4.destination(frame!, 42), address('1.1.1.1'));
    assert.equal(frame!.length, 42 + 128);
    assert.equal(sum(frame!, 34, frame!.length - 34), 0xffff);
  }
});

test('what is relayed is limited, and not about packets that must not be answered', () => {
  const bench = new GatewayBench();
  bench.gateway.icmp.relay(packet(bench, '224.0.0.1'), icmp.TIME_EXCEEDED, 0, 0, IpAddress.parse('10.9.8.7')!);
  assert.deepEqual([bench.gateway.icmp.sent, bench.gateway.icmp.suppressed], [0, 1]);
  const about = packet(bench, '1.1.1.1');
  for (let i = 0; i < 1000; i++) bench.gateway.icmp.relay(about, icmp.TIME_EXCEEDED, 0, 0, IpAddress.parse('10.9.8.7')!);
  assert.ok(bench.gateway.icmp.sent < 100, `${bench.gateway.icmp.sent} sent at once`);
});

test("the subnet's addresses, and those that no host beyond it can have, are not outside", () => {
  const { gateway } = new GatewayBench();
  for (const outside of ['10.9.8.7', '8.8.8.8', '192.168.126.255', '169.254.0.1'])
    assert.equal(gateway.isOutside(IpAddress.parse(outside)!), true);
  for (const not of ['192.168.127.1', '192.168.127.255', '127.0.0.1', '0.0.0.0', '224.0.0.1', '255.255.255.255']) {
    assert.equal(gateway.isOutside(IpAddress.parse(not)!), false, not);
  }
});
