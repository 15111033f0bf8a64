/** What a VirtualNetwork is made of. Everything may be left out; `config/resolve.ts` fills in the defaults and checks the rest. */

/** Finds names, as a RegExp does; the configuration file's RE2 expressions come in this form too. */
export interface NamePattern {
  /** As it was written. */
  readonly source: string;
  /** Index of the first match, or -1. */
  [Symbol.search](text: string): number;
}

export interface DnsRecord {
  /** Label(s) in front of the zone name; empty when `pattern` decides. */
  readonly name: string;
  readonly pattern?: NamePattern;
  /** IPv4 or IPv6 literal. */
  readonly ip: string;
}

export interface DnsZone {
  /** Fully qualified, with the trailing dot: `containers.internal.` */
  readonly name: string;
  readonly records: readonly DnsRecord[];
  /** IPv4 or IPv6 literal that answers every name without a record. */
  readonly defaultIP?: string;
}

/**
 * The defaults are gvproxy's without a configuration file, except that nothing of the host is taken unasked: there is no
 * SSH forward and there are no search domains (`commandLineNetwork` has both).
 */
export interface NetworkOptions {
  /** Bytes of the largest IP packet on the virtual network, a whole number from 68 to 65535. Default 1500. */
  readonly mtu?: number;
  /** IPv4 CIDR, /29 or larger. Default `192.168.127.0/24`. */
  readonly subnet?: string;
  /** Default: the first address of the subnet. */
  readonly gatewayIP?: string;
  /** Default `5a:94:ef:e4:0c:dd`. */
  readonly gatewayMacAddress?: string;
  /** Reserved for the first VM: never handed out to another. Default: the second address of the subnet. */
  readonly deviceIP?: string;
  /** Through NAT, the host's loopback. Default: the last address of the subnet. */
  readonly hostIP?: string;
  /** False: guests have IPv6 only. Default true. */
  readonly ipv4?: boolean;
  /** Guests have IPv6 too. Default: true when one of the next four is given, else false. */
  readonly ipv6?: boolean;
  /** IPv6 CIDR, one /64. Default: a unique local prefix that is derived from `subnet`. */
  readonly subnet6?: string;
  /** Default: ::1 of the prefix. */
  readonly gatewayIP6?: string;
  /** Handed out by DHCPv6 to the first VM only. Default: ::2 of the prefix. */
  readonly deviceIP6?: string;
  /** Through NAT, the host's loopback ::1. Default: ::254 of the prefix. */
  readonly hostIP6?: string;
  /** Guest-visible destination → host-dialled destination, literals of one version of IP. Default: hostIP → 127.0.0.1; and hostIP6 → ::1 unless it is a key here. */
  readonly nat?: Readonly<Record<string, string>>;
  /** More addresses the gateway answers ARP for, or neighbour solicitations. Default: hostIP; hostIP6 always is. */
  readonly gatewayVirtualIPs?: readonly string[];
  /** Default: `gateway` and `host`, with their addresses of IPv4 and IPv6, in the zones `containers.internal.` and `docker.internal.`. */
  readonly dns?: readonly DnsZone[];
  /** Default: none. */
  readonly dnsSearchDomains?: readonly string[];
  /** IPv4 → MAC. Default: deviceIP → `5a:94:ef:e4:0c:ee`. */
  readonly dhcpStaticLeases?: Readonly<Record<string, string>>;
  /** UUID that a VPNKit client names itself by → MAC address it is given. Default: `c3d68012-0208-11ea-9fd7-f2189899ab08` → `5a:94:ef:e4:0c:ee`. */
  readonly vpnKitUUIDMacAddresses?: Readonly<Record<string, string>>;
  /**
   * Ports of the host → guest's `ip:port`, written as `VirtualNetwork.forward` takes them; with `udp:` in front those of UDP. Names of
   * hosts are resolved, once. Default: none.
   */
  readonly forwards?: Readonly<Record<string, string>>;
  /**
   * Whether guests see the addresses of those who connect through forwards, as far as these are of the version of IP that the
   * forward leads to, and not the host's own loopback.
   * False: guests see the gateway. Default true.
   */
  readonly preserveClientAddress?: boolean;
  /** Lets guests reach 169.254.0.0/16, and over IPv6 fd00:ec2::/32 and fd20:ce::254: where clouds have their metadata. Default false. */
  readonly ec2MetadataAccess?: boolean;
  /** Host connects that may be under way at once, 1..65536, shared out by VM. Default 2048. */
  readonly tcpMaxInFlight?: number;
  /** Milliseconds that a host connect may take, 1..3600000. Default 30000. */
  readonly tcpConnectTimeout?: number;
  /** VMs reach the gateway, and through it the host and the world, but not each other ("port isolation"). Default false. */
  readonly isolation?: boolean;
  /**
   * What a VM can't pretend to be. `mac`: another VM, by a MAC address that was used in the last 30 s; the gateway never; where
   * guests have IPv6, a router of it. `lease`: besides, it has only the IPv4 addresses that it was leased here and the IPv6 addresses that were
   * its own first (docs/addressing.md), is no DHCP server and no router. `off`: as gvproxy. Default `mac`.
   */
  readonly guard?: 'off' | 'mac' | 'lease';
  /** Ethernet pcapng file to write; replaced when it exists. Default: none. */
  readonly captureFile?: string;
}

/** Options with every default filled in, checked. */
export type ResolvedOptions = Required<Omit<NetworkOptions, Absent>> & Pick<NetworkOptions, Absent>;

/** Options without a default of the configuration's. */
type Absent = 'ipv4' | 'ipv6' | 'subnet6' | 'gatewayIP6' | 'deviceIP6' | 'hostIP6' | 'captureFile' | 'tcpMaxInFlight' | 'tcpConnectTimeout';
