/** What a VirtualNetwork is made of, fully resolved: the config layer fills defaults, checks addresses and throws before this. */

export interface DnsRecord {
  /** Label(s) in front of the zone name; empty when `pattern` decides. */
  readonly name: string;
  readonly pattern?: RegExp;
  /** IPv4 literal. */
  readonly ip: string;
}

export interface DnsZone {
  /** Fully qualified, with the trailing dot: `containers.internal.` */
  readonly name: string;
  readonly records: readonly DnsRecord[];
  /** IPv4 literal that answers every name without a record. */
  readonly defaultIP?: string;
}

export interface NetworkOptions {
  /** Largest IP packet on the virtual network, 68..65535. */
  readonly mtu: number;
  /** IPv4 CIDR, e.g. `192.168.127.0/24`. */
  readonly subnet: string;
  readonly gatewayIP: string;
  readonly gatewayMacAddress: string;
  /** Reserved for the first VM: never handed out to another. */
  readonly deviceIP: string;
  /** Through NAT, the host's loopback. */
  readonly hostIP: string;
  /** Guest-visible destination → host-dialled destination, IPv4 literals. */
  readonly nat: Readonly<Record<string, string>>;
  /** More addresses the gateway answers ARP for. */
  readonly gatewayVirtualIPs: readonly string[];
  readonly dns: readonly DnsZone[];
  readonly dnsSearchDomains: readonly string[];
  /** IPv4 → MAC. */
  readonly dhcpStaticLeases: Readonly<Record<string, string>>;
  /** Host side `ip:port` or `:port` → guest `ip:port`; a key may begin with `udp:`. */
  readonly forwards: Readonly<Record<string, string>>;
  /** Lets guests reach 169.254.0.0/16. */
  readonly ec2MetadataAccess: boolean;
  /** Ethernet pcapng file to write. */
  readonly captureFile?: string;
}
