/**
 * `/stats`: the counters of Contract §13.5, names and nesting as the original's, which are those of the stack it is built on.
 *
 * Where a name has no counterpart here its value is 0, because it can't happen: the comment says why. The numbers are of the
 * gateway: what VMs send each other is not in them, but for BytesSent and BytesReceived.
 */
import type { NetworkCounters } from '../network-counters.ts';

/** What is shown of a network. */
export interface Counted {
  readonly counters: NetworkCounters;
}

/** Bytes of an ARP packet with its Ethernet header. */
const ARP_FRAME = 42;

const ECHO_REPLY = 0;
const UNREACHABLE = 3;
const QUENCH = 4;
const REDIRECT = 5;
const ECHO_REQUEST = 8;
const TIME_EXCEEDED = 11;
const PARAMETER_PROBLEM = 12;
const TIMESTAMP = 13;
const TIMESTAMP_REPLY = 14;
const INFORMATION_REQUEST = 15;
const INFORMATION_REPLY = 16;

export function stats({ counters }: Counted): unknown {
  const { switch: frames, gateway, ports } = counters;
  return {
    ARP: arp(counters),
    BytesReceived: ports.rxBytes,
    BytesSent: ports.txBytes,
    DroppedPackets:
      frames.runts + frames.badSource + frames.hairpin + frames.unknownUnicast + switchDrops(frames) + gateway.unknownEtherType,
    ICMP: { V4: icmp(counters), V6: icmp6(counters) },
    IGMP,
    IP: ip(counters),
    NICs: nics(counters),
    TCP: tcp(counters),
    UDP: udp(counters),
  };
}

/** Of the guards and limits, which the original does not have. */
function switchDrops(frames: NetworkCounters['switch']): number {
  return frames.dropForeignMac + frames.dropUnleased + frames.dropRouter + frames.dropIsolated + frames.dropStorm + frames.dropMalformed;
}

function arp({ arp: counters }: NetworkCounters): unknown {
  return {
    PacketsReceived: counters.received,
    // ARP can't be switched off; the gateway always has an address to ask from.
    DisabledPacketsReceived: 0,
    MalformedPacketsReceived: counters.malformed,
    RequestsReceived: counters.requests,
    RequestsReceivedUnknownTargetAddress: counters.notOurs,
    OutgoingRequestInterfaceHasNoLocalAddressErrors: 0,
    OutgoingRequestBadLocalAddressErrors: 0,
    // A request goes to every VM, and a VM that has no room does not count against the others.
    OutgoingRequestsDropped: 0,
    OutgoingRequestsSent: counters.solicited,
    RepliesReceived: counters.replies,
    OutgoingRepliesDropped: counters.dropNoRoom,
    OutgoingRepliesSent: counters.answered,
  };
}

/** `of`: messages by type. */
function icmpPackets(of: (type: number) => number): unknown {
  return {
    EchoRequest: of(ECHO_REQUEST),
    EchoReply: of(ECHO_REPLY),
    DstUnreachable: of(UNREACHABLE),
    SrcQuench: of(QUENCH),
    Redirect: of(REDIRECT),
    TimeExceeded: of(TIME_EXCEEDED),
    ParamProblem: of(PARAMETER_PROBLEM),
    Timestamp: of(TIMESTAMP),
    TimestampReply: of(TIMESTAMP_REPLY),
    InfoRequest: of(INFORMATION_REQUEST),
    InfoReply: of(INFORMATION_REPLY),
  };
}

function icmp({ icmp: received, icmpErrors, echo }: NetworkCounters): unknown {
  const replies = received.echoAnswered + echo.replies;
  return {
    PacketsSent: {
      ICMPv4PacketStats: icmpPackets((type) => (type === ECHO_REPLY ? replies : icmpErrors.ofType[type]!)),
      // What finds no room is not counted by itself.
      Dropped: 0,
      RateLimited: icmpErrors.suppressed,
    },
    PacketsReceived: {
      ICMPv4PacketStats: icmpPackets((type) => received.ofType[type]!),
      Invalid: received.dropMalformed + received.dropChecksum,
    },
  };
}

/** Names with nothing behind them. */
function zeros(names: string): Record<string, number> {
  return Object.fromEntries(names.split(' ').map((name) => [name, 0]));
}

/** Types of ICMPv6 (RFC 4443, RFC 4861, RFC 2710, RFC 3810) by the names they are shown by. */
const ICMP6_TYPES = {
  EchoRequest: 128,
  EchoReply: 129,
  DstUnreachable: 1,
  PacketTooBig: 2,
  TimeExceeded: 3,
  ParamProblem: 4,
  RouterSolicit: 133,
  RouterAdvert: 134,
  NeighborSolicit: 135,
  NeighborAdvert: 136,
  RedirectMsg: 137,
  MulticastListenerQuery: 130,
  MulticastListenerReport: 131,
  MulticastListenerReportV2: 143,
  MulticastListenerDone: 132,
};

function icmp6Packets(of: (type: number) => number): unknown {
  return Object.fromEntries(Object.entries(ICMP6_TYPES).map(([name, type]) => [name, of(type)]));
}

/** Zeros where guests have no IPv6. */
function icmp6({ ipv6, echo }: NetworkCounters): unknown {
  const sent = (type: number): number => {
    if (ipv6 === undefined) return 0;
    if (type === ICMP6_TYPES.EchoReply) return ipv6.icmp.echoAnswered + echo.replies6;
    if (type === ICMP6_TYPES.RouterAdvert) return ipv6.advertiser.answered + ipv6.advertiser.unsolicited;
    if (type === ICMP6_TYPES.NeighborSolicit) return ipv6.discovery.solicited;
    if (type === ICMP6_TYPES.NeighborAdvert) return ipv6.discovery.answered;
    return ipv6.icmpErrors.ofType[type]!;
  };
  const { icmp: received, discovery } = ipv6 ?? {};
  const malformed = (received?.dropMalformed ?? 0) + (received?.dropChecksum ?? 0) + (discovery?.malformed ?? 0);
  return {
    PacketsSent: {
      ICMPv6PacketStats: icmp6Packets(sent),
      // What finds no room is not counted by itself.
      Dropped: 0,
      RateLimited: ipv6?.icmpErrors.suppressed ?? 0,
    },
    PacketsReceived: {
      ICMPv6PacketStats: icmp6Packets((type) => received?.ofType[type] ?? 0),
      Unrecognized: received?.dropOther ?? 0,
      Invalid: malformed,
      // The gateway is a router.
      RouterOnlyPacketsDroppedByHost: 0,
    },
  };
}

const IGMP_PACKETS = zeros('MembershipQuery V1MembershipReport V2MembershipReport V3MembershipReport LeaveGroup');

/** The gateway is in no multicast group: what is sent to one is for other VMs. */
const IGMP = {
  PacketsSent: { IGMPPacketStats: IGMP_PACKETS, ...zeros('Dropped') },
  PacketsReceived: { IGMPPacketStats: IGMP_PACKETS, ...zeros('Invalid ChecksumErrors Unrecognized') },
};

/** Packets to guests leave as whole frames: all that went out but copies of VMs' frames, and ARP. */
function packetsSent({ ports, switch: frames, arp: counters }: NetworkCounters): number {
  return ports.txFrames - frames.copies - counters.answered;
}

function malformed({ ipv4, ipv6 }: NetworkCounters): number {
  const six = ipv6 === undefined ? 0 : ipv6.packets.dropShort + ipv6.packets.dropVersion + ipv6.packets.dropPayloadLength;
  return ipv4.dropShort + ipv4.dropVersion + ipv4.dropHeaderLength + ipv4.dropTotalLength + six;
}

function ip(counters: NetworkCounters): unknown {
  const { ipv4, reassembly, udp: datagrams, udpServices, ipv6 } = counters;
  const received = ipv4.received + (ipv6?.packets.received ?? 0);
  const fragments = (ipv6?.reassembly.malformed ?? 0) + (ipv6?.reassembly.overlapping ?? 0);
  const { dropSource = 0, dropSpoofed = 0, dropDestination = 0, delivered = 0 } = ipv6?.packets ?? {};
  return {
    PacketsReceived: received,
    ValidPacketsReceived: received - malformed(counters),
    // IP can't be switched off.
    DisabledPacketsReceived: 0,
    InvalidDestinationAddressesReceived: ipv4.dropDestination + dropDestination,
    InvalidSourceAddressesReceived: ipv4.dropSource + ipv4.dropSpoofed + dropSource + dropSpoofed,
    PacketsDelivered: ipv4.delivered + delivered,
    PacketsSent: packetsSent(counters),
    OutgoingPacketErrors: datagrams.dropNoRoom + udpServices.dropped,
    MalformedPacketsReceived: malformed(counters),
    MalformedFragmentsReceived: reassembly.malformed + reassembly.overlapping + fragments,
    // There is no packet filter; IP options are skipped unread; and the gateway's flows are connections of the host, not forwarded packets.
    ...zeros(
      'IPTablesPreroutingDropped IPTablesInputDropped IPTablesForwardDropped IPTablesOutputDropped IPTablesPostroutingDropped ' +
        'OptionTimestampReceived OptionRecordRouteReceived OptionRouterAlertReceived OptionUnknownReceived',
    ),
    Forwarding: zeros(
      'Unrouteable ExhaustedTTL InitializingSource LinkLocalSource LinkLocalDestination PacketTooBig HostUnreachable ' +
        'ExtensionHeaderProblem UnexpectedMulticastInputInterface UnknownOutputEndpoint NoMulticastPendingQueueBufferSpace ' +
        'OutgoingDeviceNoBufferSpace Errors OutgoingDeviceClosedForSend',
    ),
  };
}

function nics(counters: NetworkCounters): unknown {
  const { ports, switch: frames, gateway, arp: resolution, ipv4, ipv6, tcp: segments, udp: datagrams, icmp: messages } = counters;
  return {
    MalformedL4RcvdPackets: segments.dropMalformed + datagrams.dropMalformed + messages.dropMalformed,
    TxPacketsDroppedNoBufferSpace: ports.txDropped,
    // A request of ours is one packet, whatever the number of VMs that get a copy.
    Tx: {
      Packets: ports.txFrames - frames.copies + resolution.solicited,
      Bytes: ports.txBytes - frames.copiedBytes + resolution.solicited * ARP_FRAME,
    },
    Rx: {
      Packets: resolution.received + ipv4.received + (ipv6?.packets.received ?? 0) + gateway.unknownEtherType,
      Bytes: gateway.receivedBytes,
    },
    // The gateway's interface can't be switched off.
    DisabledRx: zeros('Packets Bytes'),
    Neighbor: {
      UnreachableEntryLookups: gateway.unreachableNeighbours,
      // Any packet of a guest confirms its address.
      DroppedConfirmationForNoninitiatedNeighbor: 0,
      DroppedInvalidLinkAddressConfirmations: 0,
    },
  };
}

function tcp({ tcp: counters, tcpEndings, tcpNow }: NetworkCounters): unknown {
  return {
    ActiveConnectionOpenings: counters.openedFromHost,
    PassiveConnectionOpenings: counters.opened,
    CurrentEstablished: tcpNow.established,
    CurrentConnected: tcpNow.connected,
    EstablishedResets: tcpEndings.cut,
    EstablishedClosed: tcpEndings.orderly,
    EstablishedTimedout: counters.timedOut,
    // A guest's SYN is answered when its host has answered: no queue of connections, no cookies.
    ...zeros(
      'ListenOverflowSynDrop ListenOverflowAckDrop ListenOverflowSynCookieSent ListenOverflowSynCookieRcvd ListenOverflowInvalidSynCookieRcvd',
    ),
    FailedConnectionAttempts: counters.refused + counters.unreachable + counters.blocked,
    ValidSegmentsReceived: counters.segmentsIn - counters.dropMalformed,
    InvalidSegmentsReceived: counters.dropMalformed,
    SegmentsSent: counters.segmentsOut,
    // A segment that finds no room waits for it.
    SegmentSendErrors: 0,
    ResetsSent: counters.resetsOut,
    ResetsReceived: counters.resetsIn,
    Retransmits: counters.retransmitted,
    // One recovery, by SACK where the guest has it.
    FastRecovery: 0,
    SACKRecovery: counters.fastRecoveries,
    TLPRecovery: counters.tailProbes,
    SlowStartRetransmits: 0,
    FastRetransmit: counters.fastRecoveries,
    Timeouts: counters.timeouts,
    // Guests leave checksums to hardware that is not there: none is verified.
    ChecksumErrors: 0,
    // Ports are chosen among those that are free.
    FailedPortReservations: 0,
    SegmentsAckedWithDSACK: counters.spuriousRecoveries,
    SpuriousRecovery: counters.spuriousRecoveries,
    SpuriousRTORecovery: 0,
    ForwardMaxInFlightDrop: counters.connectingFull,
  };
}

function udp({ udp: counters, udpServices }: NetworkCounters): unknown {
  return {
    PacketsReceived: counters.datagramsIn - counters.dropMalformed,
    UnknownPortErrors: counters.refused,
    ReceiveBufferErrors: counters.dropHostBusy,
    MalformedPacketsReceived: counters.dropMalformed,
    PacketsSent: counters.datagramsOut + udpServices.sent,
    PacketSendErrors: counters.dropNoRoom + udpServices.dropped,
    // As with TCP.
    ChecksumErrors: 0,
  };
}
