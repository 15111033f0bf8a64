/** What a network has counted since its start: the counters of its parts as they are, and sums over the VMs. */
import type { PortCounters } from './link/port.ts';
import type { Switch } from './switch/switch.ts';
import type { SwitchCounters } from './switch/switch-counters.ts';
import type { ArpCounters } from './gateway/arp-responder.ts';
import type { Gateway } from './gateway/gateway.ts';
import type { IcmpCounters } from './gateway/icmp-input.ts';
import type { Icmpv6Counters } from './gateway/icmpv6-input.ts';
import type { Ipv6Gateway } from './gateway/ipv6-gateway.ts';
import type { Ipv6Counters } from './gateway/ipv6-input.ts';
import type { DiscoveryCounters } from './gateway/neighbour-discovery.ts';
import type { Ipv4Counters } from './gateway/ipv4-input.ts';
import type { ReassemblyCounters } from './gateway/reassembly.ts';
import type { HostCounters } from './host/counters.ts';
import type { EchoCounters } from './flow/echo.ts';
import { State } from './flow/tcp/flow.ts';
import type { TcpCounters, TcpEndings } from './flow/tcp/context.ts';
import type { TcpEngine } from './flow/tcp/engine.ts';
import type { UdpCounters } from './flow/udp/context.ts';
import type { UdpEngine } from './flow/udp/engine.ts';
import type { DhcpCounters } from './service/dhcp/server.ts';
import type { Dhcp6Counters } from './service/dhcp6/server.ts';
import type { DnsCounters } from './service/dns/server.ts';

export interface NetworkCounters {
  /** Of all VMs, those that are gone included. */
  readonly ports: Readonly<PortCounters>;
  readonly switch: Readonly<SwitchCounters>;
  readonly gateway: {
    /** Bytes of frames to the gateway. */
    readonly receivedBytes: number;
    readonly unknownEtherType: number;
    /** Addresses of guests that nobody answered for. */
    readonly unreachableNeighbours: number;
  };
  readonly arp: Readonly<ArpCounters>;
  readonly ipv4: Readonly<Ipv4Counters>;
  readonly reassembly: Readonly<ReassemblyCounters>;
  readonly icmp: Readonly<IcmpCounters>;
  /** Errors to guests; `ofType` by ICMP type, `suppressed` for the rate or because they must not be answered. */
  readonly icmpErrors: { readonly sent: number; readonly suppressed: number; readonly ofType: Readonly<Float64Array> };
  readonly echo: Readonly<EchoCounters>;
  readonly tcp: Readonly<TcpCounters>;
  readonly tcpEndings: Readonly<TcpEndings>;
  /** Now: flows in the state ESTABLISHED; those whose handshake is done and that are not over on both sides. */
  readonly tcpNow: { readonly established: number; readonly connected: number };
  readonly udp: Readonly<UdpCounters>;
  /** Answers of the gateway's own services. */
  readonly udpServices: { readonly sent: number; readonly dropped: number };
  readonly dhcp: Readonly<DhcpCounters>;
  readonly dns: Readonly<DnsCounters>;
  readonly host: Readonly<HostCounters>;
  /** Only where guests have IPv6: what is counted above for IPv4. */
  readonly ipv6?: {
    readonly packets: Readonly<Ipv6Counters>;
    readonly reassembly: Readonly<ReassemblyCounters>;
    readonly icmp: Readonly<Icmpv6Counters>;
    readonly icmpErrors: NetworkCounters['icmpErrors'];
    readonly discovery: Readonly<DiscoveryCounters>;
    /** Router advertisements, to one guest and to all. */
    readonly advertiser: { readonly answered: number; readonly unsolicited: number; readonly dropNoRoom: number };
    readonly dhcp: Readonly<Dhcp6Counters>;
  };
}

/** Where they stand. */
export interface CountingParts {
  readonly ports: PortCounters;
  readonly switch: Switch;
  readonly gateway: Gateway;
  readonly tcp: TcpEngine;
  readonly udp: UdpEngine;
  readonly echo: { readonly counters: EchoCounters };
  readonly dhcp: { readonly counters: DhcpCounters };
  readonly dhcp6: { readonly counters: Dhcp6Counters } | undefined;
  readonly dns: { readonly counters: DnsCounters };
  readonly host: { readonly counters: HostCounters };
}

/** The parts count on in these objects; what is a number, and `tcpNow`, is of this moment. */
export function collectCounters({ ports, gateway, tcp, udp, ...parts }: CountingParts): NetworkCounters {
  const { arp, counters: ipv4, reassembly, icmpInput, icmp, receivedBytes, unknownEtherType, neighbours } = gateway;
  const { sent, dropped } = udp.services;
  return {
    ports,
    switch: parts.switch.counters,
    gateway: { receivedBytes, unknownEtherType, unreachableNeighbours: neighbours.unreachable },
    arp: arp.counters,
    ipv4,
    reassembly: reassembly.counters,
    icmp: icmpInput.counters,
    icmpErrors: icmp,
    echo: parts.echo.counters,
    tcp: tcp.counters,
    tcpEndings: tcp.endings,
    tcpNow: tcpNow(tcp),
    udp: udp.counters,
    udpServices: { sent, dropped },
    dhcp: parts.dhcp.counters,
    dns: parts.dns.counters,
    host: parts.host.counters,
    ...(gateway.ipv6 === null || parts.dhcp6 === undefined ? {} : { ipv6: ipv6Of(gateway.ipv6, parts.dhcp6.counters) }),
  };
}

function ipv6Of(
  { counters, fragments, icmpInput, icmp, discovery, advertiser }: Ipv6Gateway,
  dhcp: Dhcp6Counters,
): NonNullable<NetworkCounters['ipv6']> {
  return {
    packets: counters,
    reassembly: fragments.reassembly.counters,
    icmp: icmpInput.counters,
    icmpErrors: icmp,
    discovery: discovery.counters,
    advertiser,
    dhcp,
  };
}

function tcpNow(tcp: TcpEngine): NetworkCounters['tcpNow'] {
  let established = 0;
  let connected = 0;
  for (const { state } of tcp) {
    if (state === State.ESTABLISHED) established++;
    if (state >= State.ESTABLISHED && state < State.TIME_WAIT) connected++;
  }
  return { established, connected };
}
