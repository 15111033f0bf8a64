/**
 * A whole virtual network as network.ts wires it, on a manual clock and a host in memory.
 *
 *     VMs ⇄ memory ports ⇄ switch ⇄ gateway ⇄ flows ⇄ memory-host.ts
 *                                └── DHCP, DNS ─ hostile-upstream.ts
 *
 * A world lasts for many programs. After each it must be as at the start: `rest` lets time pass and says what is left over.
 */
import { IpAddress, parseIpv4 } from '../../src/packet/address.ts';
import { formatMac, type Mac, parseMac } from '../../src/packet/mac.ts';
import { Arena } from '../../src/runtime/arena.ts';
import { arenaSum } from '../../src/runtime/arena-checksum.ts';
import { ManualClock, SeededRandom } from '../../src/runtime/clock.ts';
import { TimerWheel } from '../../src/runtime/timer-wheel.ts';
import { type FrameSink, MemoryPort } from '../../src/link/memory-port.ts';
import type { Port } from '../../src/link/port.ts';
import { type Guard, Switch } from '../../src/switch/switch.ts';
import { Gateway } from '../../src/gateway/gateway.ts';
import { EchoForwarder } from '../../src/flow/echo.ts';
import { FlowPolicy } from '../../src/flow/policy.ts';
import { GatewayServices } from '../../src/flow/service-host.ts';
import { TcpEngine } from '../../src/flow/tcp/engine.ts';
import { UdpEngine } from '../../src/flow/udp/engine.ts';
import { wireFlows } from '../../src/flow/wiring.ts';
import { ClientAddress } from '../../src/forward/client-address.ts';
import { ForwardCounters, GuestConnections } from '../../src/forward/guest-connections.ts';
import { LeasePool } from '../../src/service/dhcp/lease-pool.ts';
import { DhcpServer } from '../../src/service/dhcp/server.ts';
import { LeasePool6 } from '../../src/service/dhcp6/lease-pool.ts';
import { Dhcp6Server } from '../../src/service/dhcp6/server.ts';
import { Forwarder } from '../../src/service/dns/forwarder.ts';
import { encodeName } from '../../src/service/dns/name.ts';
import { DnsServer } from '../../src/service/dns/server.ts';
import { Zones } from '../../src/service/dns/zones.ts';
import { internalZones } from '../../src/config/defaults.ts';
import { DEVICE6, GATEWAY6, GUEST6, HOST6 } from './addresses6.ts';
import { HostileUpstream } from './hostile-upstream.ts';
import { MemoryHost } from './memory-host.ts';

export const GATEWAY = parseIpv4('192.168.127.1')!;
export const HOST_ADDRESS = parseIpv4('192.168.127.254')!;
export const SUBNET = parseIpv4('192.168.127.0')!;
const MASK = parseIpv4('255.255.255.0')!;
/** Who comes when a program's VMs have gone (newcomer.ts). */
export const NEWCOMER = SUBNET + 200;
export const NEWCOMER_MAC = parseMac('5a:94:ef:e4:02:00')!;
export const GATEWAY_MAC = parseMac('5a:94:ef:e4:0c:dd')!;
/** Rounds of one turn: work that calls for ever more work is a fault. */
const ROUNDS = 50_000;
/** Milliseconds, and steps of time, within which everything must have come to its end. */
const REST = 48 * 3_600_000;
const REST_STEPS = 20_000;

interface Nature {
  readonly mtu: number;
  readonly arena: number;
  readonly flows: number;
  readonly linkWindow: number;
  readonly guard?: Guard;
  readonly isolation?: boolean;
  /** Default: IPv4 alone. */
  readonly ipv4?: boolean;
  readonly ipv6?: boolean;
}

/**
 * The worlds there are: the third is short of memory and of table space, so that refusals are found; in the fourth VMs are guarded and
 * kept apart. The others are the same with IPv6, but that those guarded hear each other; the last is without IPv4.
 */
const WORLDS: readonly Nature[] = [
  { mtu: 1500, arena: 128 << 20, flows: 65_536, linkWindow: 512 * 1024 },
  { mtu: 65_520, arena: 128 << 20, flows: 65_536, linkWindow: 2 << 20 },
  { mtu: 68, arena: 20 << 20, flows: 24, linkWindow: 512 * 1024 },
  { mtu: 1500, arena: 128 << 20, flows: 65_536, linkWindow: 512 * 1024, guard: 'lease', isolation: true },
  { mtu: 1500, arena: 128 << 20, flows: 65_536, linkWindow: 512 * 1024, ipv6: true },
  { mtu: 1280, arena: 20 << 20, flows: 24, linkWindow: 512 * 1024, ipv6: true },
  { mtu: 1500, arena: 128 << 20, flows: 65_536, linkWindow: 512 * 1024, ipv6: true, guard: 'lease' },
  { mtu: 65_520, arena: 128 << 20, flows: 65_536, linkWindow: 2 << 20, ipv6: true, ipv4: false },
];
export const WORLD_COUNT: number = WORLDS.length;

/** An arena that knows what is taken. */
class CountingArena extends Arena {
  outstanding = 0;

  override allocate(bytes: number): number {
    const at = super.allocate(bytes);
    if (at >= 0) this.outstanding += bytes;
    return at;
  }

  override free(at: number, bytes: number): void {
    super.free(at, bytes);
    this.outstanding -= bytes;
  }
}

export class World {
  readonly mtu: number;
  readonly clock: ManualClock = new ManualClock();
  readonly arena: CountingArena;
  readonly timers: TimerWheel;
  readonly host: MemoryHost;
  readonly upstream: HostileUpstream;
  readonly gateway: Gateway;
  readonly switch: Switch;
  readonly tcp: TcpEngine;
  readonly udp: UdpEngine;
  readonly echo: EchoForwarder;
  readonly dhcp: DhcpServer;
  readonly dns: DnsServer;
  readonly leases: LeasePool;
  readonly ipv4: boolean;
  readonly ipv6: boolean;
  readonly guard: Guard;
  readonly isolation: boolean;
  /** Null without IPv6. */
  readonly dhcp6: { readonly server: Dhcp6Server; readonly leases: LeasePool6 } | null;
  readonly forward: ForwardCounters = new ForwardCounters();
  readonly #forwarder: Forwarder;
  readonly #ports: Set<MemoryPort> = new Set();
  #woken = false;
  /** A service of this process was given something to do. */
  handed = false;
  #nextPort = 0;
  /** Bytes of the arena that the network takes for itself. */
  readonly baseline: number;
  /** Milliseconds of processor time that the longest turn of this program took. */
  longestTurn = 0;

  constructor(number: number) {
    const { mtu, arena: size, flows, linkWindow, guard = 'mac', isolation = false, ...versions } = WORLDS[number % WORLDS.length]!;
    const { ipv4 = true, ipv6 = false } = versions;
    this.mtu = mtu;
    this.ipv4 = ipv4;
    this.ipv6 = ipv6;
    this.guard = guard;
    this.isolation = isolation;
    const arena = new CountingArena(size);
    this.arena = arena;
    const timers = new TimerWheel(this.clock.now());
    this.timers = timers;
    const random = new SeededRandom(number + 1);
    const sum = arenaSum(arena);
    this.host = new MemoryHost(arena);
    this.gateway = new Gateway({
      arena,
      sum,
      timers,
      random,
      mac: GATEWAY_MAC,
      address: GATEWAY,
      subnet: SUBNET,
      mask: MASK,
      virtualAddresses: [HOST_ADDRESS],
      mtu,
      ipv4,
      ...(ipv6 && { ipv6: { address: GATEWAY6, virtualAddresses: [HOST6], searchList: [encodeName('example.com')!] } }),
    });
    const { gateway } = this;
    const now = (): number => timers.now;
    this.switch = new Switch({
      bytes: arena.bytes,
      sum,
      mtu,
      gatewayMac: GATEWAY_MAC,
      gateway,
      now,
      guard,
      isolation,
      ...(gateway.ipv6 && { ipv6: gateway.ipv6.addresses.answered }),
    });
    // The programs' VMs, and the newcomer that comes when they have gone, need not ask.
    const statics = new Map<number, string>();
    const reserve = (address: number, { hi, lo }: Mac): void => {
      this.switch.leases?.reserve(address, hi, lo);
      if (guard === 'lease') statics.set(address, formatMac(hi, lo));
    };
    for (let i = 0; i < 10; i++) reserve(SUBNET + 10 + i, { hi: 0x5a94, lo: 0xefe40100 + i });
    reserve(NEWCOMER, NEWCOMER_MAC);
    gateway.connect(this.switch);
    const nat = [
      [IpAddress.v4(HOST_ADDRESS), IpAddress.parse('127.0.0.1')!],
      [HOST6, IpAddress.parse('::1')!],
    ] as const;
    const policy = new FlowPolicy({ nat, allowLinkLocal: false });
    const wake = (): void => {
      this.#woken = true;
    };
    const shared = { arena, sum, timers, random, host: this.host, gateway, policy };
    this.tcp = new TcpEngine({ ...shared, limits: { linkWindow, flows, connecting: flows >>> 1, timeWait: flows >>> 2 } }, wake);
    this.udp = new UdpEngine({ ...shared, maxFlows: flows }, wake);
    this.echo = new EchoForwarder(shared, wake);
    wireFlows(gateway, this.tcp, this.udp, this.echo, guard === 'lease');
    this.leases = new LeasePool({ subnet: SUBNET, mask: MASK, reserved: [GATEWAY, HOST_ADDRESS], statics, now });
    gateway.onDetached((port) => this.leases.detached(port));
    const leased = (mac: string, address: number, vm: Port): void => {
      const { hi, lo } = parseMac(mac)!;
      this.switch.leases?.lease(address, hi, lo, vm);
    };
    this.dhcp = new DhcpServer({
      pool: this.leases,
      gateway: GATEWAY,
      mask: MASK,
      mtu,
      searchDomains: ['example.com', 'internal'],
      leased,
    });
    this.dhcp6 = ipv6 ? dhcp6((address, vm) => this.switch.leases?.ipv6?.holders.lease(address, vm)) : null;
    gateway.onDetached((port) => this.dhcp6?.leases.detached(port));
    this.upstream = new HostileUpstream(timers);
    this.#forwarder = new Forwarder(this.upstream, () => ['192.0.2.1', '192.0.2.2'], random);
    const plan6 = { subnet6: '', gatewayIP6: GATEWAY6.toString(), deviceIP6: DEVICE6.toString(), hostIP6: HOST6.toString() };
    const zones = new Zones(internalZones('192.168.127.1', '192.168.127.254', ipv6 ? plan6 : undefined, ipv4));
    const hosts = { addresses: new Map([['known', [Uint8Array.of(10, 1, 1, 1)]]]), pointers: new Map<string, Uint8Array[]>() };
    this.dns = new DnsServer({ zones, hosts: () => hosts, forwarder: this.#forwarder, timers, processorTime: () => performance.now() });
    const services = new GatewayServices(arena, this.tcp, this.udp, () => {
      this.handed = true;
    });
    this.dhcp.listen(services);
    this.dhcp6?.server.listen(services);
    this.dns.listen(services);
    const isOutside = (address: IpAddress): boolean => gateway.isOutside(address);
    const clients = new ClientAddress({ gatewayFor: (to) => gateway.sourceFor(to), isOutside, taken: new Set(), preserve: true });
    const guest = { neighbours: gateway.neighbours, tcp: this.tcp, timers, clients, counters: this.forward };
    for (const address of [...(ipv4 ? [IpAddress.v4(SUBNET + 10)] : []), ...(ipv6 ? [GUEST6] : [])]) {
      const connections = new GuestConnections({ address, port: 22 }, guest);
      this.host.listenStream(IpAddress.v4(0), 2222, (endpoint, client, port) => connections.accept(endpoint, client, port));
    }
    this.baseline = arena.outstanding;
  }

  /** Null when the arena has no room for another VM. */
  attach(name: string, sink: FrameSink): MemoryPort | null {
    const scheduler = { wake: (): void => void (this.#woken = true) };
    try {
      const port = new MemoryPort(this.#nextPort++, name, this.arena, scheduler, this.switch, sink);
      this.#ports.add(port);
      this.switch.attached(port);
      return port;
    } catch (error) {
      if (error instanceof RangeError) return null;
      throw error;
    }
  }

  detach(port: MemoryPort): void {
    this.#ports.delete(port);
    port.close();
  }

  /** A turn as the turn loop makes it: rounds of phases while there is work, then what was put off. */
  turn(): void {
    const started = process.cpuUsage();
    this.timers.advance(this.clock.now());
    this.#rounds();
    if ((this.tcp.endOfTurn(true) & 1) !== 0) this.#rounds();
    const { user, system } = process.cpuUsage(started);
    this.longestTurn = Math.max(this.longestTurn, (user + system) / 1000);
  }

  #rounds(): void {
    for (let rounds = 0; rounds < ROUNDS; rounds++) {
      this.#woken = false;
      let more = false;
      for (const port of this.#ports) if (port.deliver()) more = true;
      if (this.tcp.pump()) more = true;
      if (this.udp.pump()) more = true;
      if (this.echo.pump()) more = true;
      for (const port of this.#ports) if (port.flush()) more = true;
      if (!more && !this.#woken) return;
    }
    throw new Error(`a turn of ${ROUNDS} rounds: work never ends`);
  }

  /** Lets the services in this process do what they were handed, and passes on what they say. */
  async settle(): Promise<void> {
    for (let i = 0; i < 8 && this.handed; i++) {
      this.handed = false;
      await nodesTurn();
      this.turn();
    }
  }

  /** Nobody sends any more, the router neither, and two days pass. Returns what has not come to an end. */
  async rest(): Promise<string[]> {
    this.gateway.ipv6?.advertiser.stop();
    const end = this.clock.now() + REST;
    for (let i = 0; this.timers.untilNext() !== Infinity; i++) {
      if (i === REST_STEPS) return [`a timer goes on for ever: still ${this.#left().join(', ')}`];
      this.clock.advance(Math.max(this.timers.untilNext(), 4));
      if (this.clock.now() > end) return [`something lasts longer than two days: still ${this.#left().join(', ')}`];
      this.turn();
      if (this.upstream.waiting > 0) this.handed = true;
      await this.settle();
    }
    return this.#left();
  }

  #left(): string[] {
    const left: [string, number][] = [
      ['TCP flows', this.tcp.size],
      ['UDP flows', this.udp.size],
      ['ping flows', this.echo.size],
      ['datagrams in reassembly', this.gateway.reassembly.size],
      ['datagrams of IPv6 in reassembly', this.gateway.ipv6?.fragments.reassembly.size ?? 0],
      ['lent bytes', this.arena.lent],
      ['host endpoints', this.host.open],
      ['DNS queries', this.upstream.waiting],
    ];
    return left.filter(([, count]) => count !== 0).map(([what, count]) => `${count} ${what}`);
  }

  /** Every counter there is, by name. */
  counters(into: Map<string, number>): void {
    const groups: [string, object][] = [
      ['tcp', this.tcp.counters],
      ['udp', this.udp.counters],
      ['echo', this.echo.counters],
      ['ip', this.gateway.counters],
      ['icmp', this.gateway.icmpInput.counters],
      ['errors', this.gateway.icmp],
      ['arp', this.gateway.arp],
      ['reassembly', this.gateway.reassembly.counters],
      ['switch', this.switch.counters],
      ['dhcp', this.dhcp.counters],
      ['dns', this.dns.counters],
      ['forwarder', this.#forwarder.counters],
      ['forward', this.forward],
      ['neighbours', this.gateway.neighbours],
    ];
    const { ipv6 } = this.gateway;
    if (ipv6 !== null) {
      groups.push(
        ['ip6', ipv6.counters],
        ['icmp6', ipv6.icmpInput.counters],
        ['errors6', ipv6.icmp],
        ['discovery', ipv6.discovery.counters],
        ['router', ipv6.advertiser],
        ['reassembly6', ipv6.fragments.reassembly.counters],
        ['dhcp6', this.dhcp6!.server.counters],
      );
    }
    for (const [group, counters] of groups) {
      for (const [name, value] of Object.entries(counters)) if (typeof value === 'number') into.set(`${group}.${name}`, value);
    }
  }
}

/** `leased`: a VM was given an address. */
function dhcp6(leased: (address: IpAddress, vm: Port) => void): { readonly server: Dhcp6Server; readonly leases: LeasePool6 } {
  const pool = new LeasePool6({ gateway: GATEWAY6, reserved: [GATEWAY6, HOST6, DEVICE6], statics: new Map() });
  const told = (_mac: Mac, address: IpAddress, vm: Port): void => leased(address, vm);
  const server = new Dhcp6Server({ pool, gateway: GATEWAY6, mac: GATEWAY_MAC, searchDomains: ['example.com'], leased: told });
  return { leases: pool, server };
}

/** Node runs what streams and promises have put off. */
function nodesTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
