/** The counters of `/stats` (contract §13.5): every name, in order, and numbers that move with real traffic. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { createSocket } from 'node:dgram';
import { test } from 'node:test';
import type { SoftSocket } from '../../src/testing/index.ts';
import { attachGuest } from '../../src/testing/index.ts';
import { stats } from '../../src/api/stats.ts';
import { VirtualNetwork } from '../../src/network.ts';
import { frame6, icmp6, solicitation } from '../gateway/bench6.ts';
import { until } from '../guest/process.ts';
import { bench, type Bench } from './fixture.ts';

const ICMP4 =
  '{EchoRequest EchoReply DstUnreachable SrcQuench Redirect TimeExceeded ParamProblem Timestamp TimestampReply InfoRequest InfoReply}';
const ICMP6 =
  '{EchoRequest EchoReply DstUnreachable PacketTooBig TimeExceeded ParamProblem RouterSolicit RouterAdvert NeighborSolicit NeighborAdvert ' +
  'RedirectMsg MulticastListenerQuery MulticastListenerReport MulticastListenerReportV2 MulticastListenerDone}';
const IGMP = '{MembershipQuery V1MembershipReport V2MembershipReport V3MembershipReport LeaveGroup}';

/** Contract §13.5, as it stands there. */
const NAMES = `{
ARP{PacketsReceived DisabledPacketsReceived MalformedPacketsReceived RequestsReceived RequestsReceivedUnknownTargetAddress
  OutgoingRequestInterfaceHasNoLocalAddressErrors OutgoingRequestBadLocalAddressErrors OutgoingRequestsDropped
  OutgoingRequestsSent RepliesReceived OutgoingRepliesDropped OutgoingRepliesSent}
BytesReceived BytesSent DroppedPackets
ICMP{
  V4{PacketsSent{ICMPv4PacketStats${ICMP4} Dropped RateLimited} PacketsReceived{ICMPv4PacketStats${ICMP4} Invalid}}
  V6{PacketsSent{ICMPv6PacketStats${ICMP6} Dropped RateLimited}
     PacketsReceived{ICMPv6PacketStats${ICMP6} Unrecognized Invalid RouterOnlyPacketsDroppedByHost}}}
IGMP{PacketsSent{IGMPPacketStats${IGMP} Dropped} PacketsReceived{IGMPPacketStats${IGMP} Invalid ChecksumErrors Unrecognized}}
IP{PacketsReceived ValidPacketsReceived DisabledPacketsReceived InvalidDestinationAddressesReceived
    InvalidSourceAddressesReceived PacketsDelivered PacketsSent OutgoingPacketErrors MalformedPacketsReceived
    MalformedFragmentsReceived IPTablesPreroutingDropped IPTablesInputDropped IPTablesForwardDropped IPTablesOutputDropped
    IPTablesPostroutingDropped OptionTimestampReceived OptionRecordRouteReceived OptionRouterAlertReceived
    OptionUnknownReceived
    Forwarding{ Unrouteable ExhaustedTTL InitializingSource LinkLocalSource LinkLocalDestination PacketTooBig
      HostUnreachable ExtensionHeaderProblem UnexpectedMulticastInputInterface UnknownOutputEndpoint
      NoMulticastPendingQueueBufferSpace OutgoingDeviceNoBufferSpace Errors OutgoingDeviceClosedForSend}}
NICs{MalformedL4RcvdPackets TxPacketsDroppedNoBufferSpace Tx{Packets Bytes} Rx{Packets Bytes} DisabledRx{Packets Bytes}
    Neighbor{UnreachableEntryLookups DroppedConfirmationForNoninitiatedNeighbor DroppedInvalidLinkAddressConfirmations}}
TCP{ActiveConnectionOpenings PassiveConnectionOpenings CurrentEstablished CurrentConnected EstablishedResets
     EstablishedClosed EstablishedTimedout ListenOverflowSynDrop ListenOverflowAckDrop ListenOverflowSynCookieSent
     ListenOverflowSynCookieRcvd ListenOverflowInvalidSynCookieRcvd FailedConnectionAttempts ValidSegmentsReceived
     InvalidSegmentsReceived SegmentsSent SegmentSendErrors ResetsSent ResetsReceived Retransmits FastRecovery SACKRecovery
     TLPRecovery SlowStartRetransmits FastRetransmit Timeouts ChecksumErrors FailedPortReservations SegmentsAckedWithDSACK
     SpuriousRecovery SpuriousRTORecovery ForwardMaxInFlightDrop}
UDP{PacketsReceived UnknownPortErrors ReceiveBufferErrors MalformedPacketsReceived PacketsSent PacketSendErrors ChecksumErrors}
}`;

type Tree = { readonly [name: string]: number | Tree };

function names(tree: Tree): string {
  const entries = Object.entries(tree).map(([name, value]) => (typeof value === 'number' ? name : `${name}${names(value)}`));
  return `{${entries.join(' ')}}`;
}

/** Path of a counter → its value. */
function flat(tree: Tree, prefix = ''): Map<string, number> {
  return new Map(
    Object.entries(tree).flatMap(([name, value]): [string, number][] =>
      typeof value === 'number' ? [[prefix + name, value]] : [...flat(value, `${prefix}${name}.`)],
    ),
  );
}

async function read({ ask }: Bench): Promise<Tree> {
  return JSON.parse((await ask('GET', '/stats')).body) as Tree;
}

/** What `run` adds to each counter that moves. */
async function moved(world: Bench, run: () => Promise<void>): Promise<Record<string, number>> {
  const before = flat(await read(world));
  await run();
  const after = flat(await read(world));
  return Object.fromEntries(
    [...after].map(([name, value]) => [name, value - before.get(name)!] as const).filter(([, change]) => change !== 0),
  );
}

function spaced(text: string): string {
  return text.replaceAll(/\s+/g, ' ').replaceAll(/ ?([{}]) ?/g, '$1');
}

test('§13.5: every counter has the name, the place and the order of the original’s', async (t) => {
  const world = await bench(t);
  const tree = await read(world);
  assert.equal(spaced(names(tree)), spaced(NAMES));
  for (const [name, value] of flat(tree)) assert.ok(Number.isSafeInteger(value) && value >= 0, `${name} is ${value}`);
});

test('§13.5: BytesSent and BytesReceived are those of all frames, and stay when a VM goes', async (t) => {
  const world = await bench(t);
  const tree = await read(world);
  assert.equal(tree['BytesSent'], world.network.bytesSent);
  assert.equal(tree['BytesReceived'], world.network.bytesReceived);
  assert.ok(world.network.bytesSent > 600);
});

test('§13.5: a ping of the gateway moves what it should, and nothing else', async (t) => {
  const world = await bench(t);
  await world.guest.ping('192.168.127.1');
  const FRAME = 14 + 20 + 8 + 56;
  assert.deepEqual(await moved(world, async () => void (await world.guest.ping('192.168.127.1'))), {
    BytesReceived: FRAME,
    BytesSent: FRAME,
    'ICMP.V4.PacketsSent.ICMPv4PacketStats.EchoReply': 1,
    'ICMP.V4.PacketsReceived.ICMPv4PacketStats.EchoRequest': 1,
    'IP.PacketsReceived': 1,
    'IP.ValidPacketsReceived': 1,
    'IP.PacketsDelivered': 1,
    'IP.PacketsSent': 1,
    'NICs.Tx.Packets': 1,
    'NICs.Tx.Bytes': FRAME,
    'NICs.Rx.Packets': 1,
    'NICs.Rx.Bytes': FRAME,
  });
});

test('§13.5: ARP is counted by what was asked, answered and looked for', async (t) => {
  const world = await bench(t);
  const { guest } = attachGuest(world.network, '5a:94:ef:00:00:01');
  await guest.dhcp();
  const change = await moved(world, async () => {
    // The guest's first packet to the gateway: it asks who that is.
    await guest.ping('192.168.127.1');
    // Nobody is there: three requests of the gateway's, each to both VMs.
    await assert.rejects(world.network.dial('192.168.127.99', 1, { timeout: 6000 }), { code: 'EHOSTUNREACH' });
  });
  assert.equal(change['ARP.PacketsReceived'], 1);
  assert.equal(change['ARP.RequestsReceived'], 1);
  assert.equal(change['ARP.OutgoingRepliesSent'], 1);
  assert.equal(change['ARP.OutgoingRequestsSent'], 3);
  assert.equal(change['NICs.Neighbor.UnreachableEntryLookups'], 1);
  assert.equal(change['IP.PacketsSent'], 1);
  assert.equal(change['NICs.Tx.Packets'], 5);
  assert.equal(change['NICs.Tx.Bytes'], 4 * 42 + 98);
  // The guest's question reached the other guest too.
  assert.equal(change['BytesSent'], 8 * 42 + 98);
});

test('§13.5: a datagram to a host and back, one to nobody, a name', async (t) => {
  const world = await bench(t);
  const { guest } = world;
  const echo = createSocket('udp4');
  echo.on('message', (message, { port, address }) => echo.send(message, port, address));
  echo.bind(0, '127.0.0.1');
  await once(echo, 'listening');
  t.after(() => echo.close());
  await guest.ping('192.168.127.1');
  const change = await moved(world, async () => {
    const answered = new Promise<void>((resolve) => guest.onDatagram(5000, () => resolve()));
    guest.sendDatagram(5000, '192.168.127.254', echo.address().port, Buffer.from('hello'));
    await answered;
    assert.deepEqual(await guest.resolve('gateway.containers.internal'), ['192.168.127.1']);
    guest.sendDatagram(5001, '192.168.127.1', 9, Buffer.from('nobody'));
    await until(() => world.network.counters.icmpErrors.sent > 0, 'the error');
  });
  assert.equal(change['UDP.PacketsReceived'], 3);
  assert.equal(change['UDP.PacketsSent'], 2);
  assert.equal(change['UDP.UnknownPortErrors'], 1);
  assert.equal(change['ICMP.V4.PacketsSent.ICMPv4PacketStats.DstUnreachable'], 1);
  assert.equal(change['IP.PacketsDelivered'], 3);
  assert.equal(change['IP.PacketsSent'], 3);
  assert.deepEqual(
    Object.keys(change).filter((name) => name.startsWith('TCP')),
    [],
  );
});

test('§13.5: connections are counted when they open, while they stand, and by how they end', async (t) => {
  const world = await bench(t);
  const { guest, network } = world;
  const server = createServer((socket) =>
    socket
      .resume()
      .on('error', () => {})
      .on('end', () => socket.end()),
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  let sockets: SoftSocket[] = [];
  const opened = await moved(world, async () => {
    sockets = await Promise.all([1, 2, 3].map(() => guest.connect('192.168.127.254', port)));
    await until(() => network.counters.tcpNow.established === 3, 'three to be established');
  });
  assert.equal(opened['TCP.PassiveConnectionOpenings'], 3);
  assert.equal(opened['TCP.CurrentEstablished'], 3);
  assert.equal(opened['TCP.CurrentConnected'], 3);
  // SYN, ACK of each; SYN-ACK of each.
  assert.equal(opened['TCP.ValidSegmentsReceived'], 6);
  assert.equal(opened['TCP.SegmentsSent'], 3);
  const ended = await moved(world, async () => {
    sockets[0]!.end();
    sockets[0]!.resume();
    await once(sockets[0]!, 'end');
    sockets[1]!.destroy();
    await until(() => network.counters.tcpNow.connected === 1, 'two to end');
  });
  assert.equal(ended['TCP.CurrentEstablished'], -2);
  assert.equal(ended['TCP.CurrentConnected'], -2);
  assert.equal(ended['TCP.EstablishedClosed'], 1);
  assert.equal(ended['TCP.EstablishedResets'], 1);
  assert.equal(ended['TCP.ResetsReceived'], 1);
  const refused = await moved(world, async () => {
    server.close();
    sockets[2]!.destroy();
    await until(() => network.counters.tcpNow.connected === 0, 'the last to end');
    await assert.rejects(guest.connect('192.168.127.254', port), { code: 'ECONNREFUSED' });
  });
  assert.equal(refused['TCP.FailedConnectionAttempts'], 1);
  assert.equal(refused['TCP.ResetsSent'], 1);
  world.listen(22, (socket) => void socket.resume());
  const active = await moved(world, async () => void (await network.dial('192.168.127.2', 22)).on('error', () => {}));
  assert.equal(active['TCP.ActiveConnectionOpenings'], 1);
});

test('§13.5: frames that the gateway can not use are dropped, malformed packets counted as such', async (t) => {
  const world = await bench(t);
  const change = await moved(world, async () => {
    const port = world.network.attachMemory('raw', () => {});
    const head = '5a94efe40cdd5a94ef000007';
    port.send(Buffer.from(`${head}86dd6000`, 'hex'));
    port.send(Buffer.from(`${head}08004500`, 'hex'));
    port.send(Buffer.from('00', 'hex'));
    await until(() => world.network.counters.switch.runts === 1, 'the frames to arrive');
  });
  assert.equal(change['DroppedPackets'], 2);
  assert.equal(change['IP.PacketsReceived'], 1);
  assert.equal(change['IP.ValidPacketsReceived'], undefined);
  assert.equal(change['IP.MalformedPacketsReceived'], 1);
  assert.equal(change['NICs.Rx.Packets'], 2);
  assert.equal(change['NICs.Rx.Bytes'], 32);
});

test('§13.5: of a network with IPv6 its packets and ICMPv6 messages are counted too', async (t) => {
  const network = await VirtualNetwork.create({ subnet6: 'fd01:2:3:4::/64' });
  t.after(() => network.close());
  const answers: Buffer[] = [];
  const port = network.attachMemory('raw', (bytes, at, length) => void answers.push(Buffer.from(bytes.subarray(at, at + length))));
  const multicast = { destination: 'ff02::2' };
  port.send(icmp6(133, Buffer.alloc(4), multicast));
  port.send(solicitation('fd01:2:3:4::1'));
  port.send(icmp6(128, Buffer.alloc(4)));
  port.send(icmp6(128, Buffer.alloc(4), { source: '2001:db8::1' }));
  port.send(frame6({ destination: 'fd01:2:3:4::77' }));
  port.send(frame6({ next: 60, payload: Buffer.from('11004504', 'hex') }));
  await until(() => answers.length >= 4, 'the answers');
  const { ICMP, IP } = stats(network) as {
    ICMP: { V6: Record<string, Record<string, Record<string, number>>> };
    IP: Record<string, number>;
  };
  const sent = ICMP.V6['PacketsSent']!['ICMPv6PacketStats']!;
  const received = ICMP.V6['PacketsReceived']!['ICMPv6PacketStats']!;
  const [out, into] = [sent, received].map((of) => Object.fromEntries(Object.entries(of).filter(([, count]) => count > 0)));
  assert.deepEqual(out, { EchoReply: 1, DstUnreachable: 1, RouterAdvert: 1, NeighborAdvert: 1 });
  assert.deepEqual(into, { EchoRequest: 1, RouterSolicit: 1, NeighborSolicit: 1 });
  assert.deepEqual([IP['PacketsReceived'], IP['InvalidSourceAddressesReceived'], IP['InvalidDestinationAddressesReceived']], [6, 1, 1]);
  const { ipv6 } = network.counters;
  assert.deepEqual([ipv6!.packets.dropExtensions, ipv6!.advertiser.answered, ipv6!.dhcp.replies], [1, 1, 0]);
});
