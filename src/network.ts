/**
 * A virtual network: switch, gateway, flows and services wired together, in one process, without root.
 *
 *     VM ⇄ link ⇄ switch ⇄ gateway ⇄ flow ⇄ host endpoint
 *                               └── service (dhcp, dns)        forward ──┘ (host → guest)
 */
import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { ArgumentError, checkSignal, NetworkError } from './errors.ts';
import { formatIpv4, parseIpv4 } from './packet/address.ts';
import { PROTOCOL_TCP } from './packet/ipv4.ts';
import { formatMac, parseMac } from './packet/mac.ts';
import { abortable, type Abortable } from './runtime/abortable.ts';
import { Arena } from './runtime/arena.ts';
import { arenaSum } from './runtime/arena-checksum.ts';
import { TurnLoop } from './runtime/turn-loop.ts';
import { SystemRandom } from './runtime/wall-clock.ts';
import { reserveDescriptors } from './host/descriptors.ts';
import { KernelNetwork } from './host/kernel-network.ts';
import type { LinkEvents } from './link/events.ts';
import { Captures, type FrameCapture, type FrameObserver, observing, type TapOptions } from './link/frame-observer.ts';
import type { Link } from './link/link.ts';
import { Links, type SocketOptions } from './link/links.ts';
import type { LiveCapture } from './link/live-capture.ts';
import type { FrameSink, MemoryPort } from './link/memory-port.ts';
import { addCounters, type Port, type PortCounters, portCounters } from './link/port.ts';
import type { LinkKind, LinkSpec } from './link/spec.ts';
import { Switch } from './switch/switch.ts';
import type { Gateway } from './gateway/gateway.ts';
import { type DialOptions, GuestDialer } from './flow/dial.ts';
import { EchoForwarder } from './flow/echo.ts';
import { FlowList } from './flow/flow-list.ts';
import type { Peer } from './flow/listener.ts';
import { FlowPolicy } from './flow/policy.ts';
import { TcpEngine } from './flow/tcp/engine.ts';
import { UdpEngine } from './flow/udp/engine.ts';
import { wireFlows } from './flow/wiring.ts';
import { ClientAddress } from './forward/client-address.ts';
import { ForwardError } from './forward/forward.ts';
import { Forwards } from './forward/forwards.ts';
import type { HostForward } from './forward/host-forward.ts';
import { SystemError } from './host/system-error.ts';
import { LeasePool } from './service/dhcp/lease-pool.ts';
import { DhcpServer } from './service/dhcp/server.ts';
import type { DnsServer } from './service/dns/server.ts';
import type { Zones } from './service/dns/zones.ts';
import type { FlowHook } from './library/flow-hook.ts';
import type { GuestConnection } from './library/guest-connection.ts';
import type { GuestSocket } from './library/guest-datagrams.ts';
import type { GuestServer } from './library/guest-server.ts';
import { type ListenOptions, ProgramSide, type UdpOptions } from './library/program-side.ts';
import { parseDialTarget, parseForwardKey, parseForwardLocal, parseForwardTarget, whyNoGuest } from './config/forward-address.ts';
import { interfaceLink, parseLinkUrl } from './config/link-url.ts';
import { resolveOptions } from './config/resolve.ts';
import { addressesOf, type NetworkAddresses } from './config/subnet6.ts';
import { type Dhcp6, dhcp6Of } from './network-ipv6.ts';
import { collectCounters, type NetworkCounters } from './network-counters.ts';
import { dnsOf, gatewayOf, natOf, subnetOf, virtualIpv4 } from './network-parts.ts';
import { networkLimits } from './network-limits.ts';
import type { NetworkEvents } from './network-events.ts';
import type { NetworkOptions, ResolvedOptions } from './network-options.ts';

/** Address space reserved for frames and buffers; memory becomes resident when it is used. */
const ARENA = 256 << 20;
export type { LinkEvents } from './link/events.ts';
export type { LinkKind } from './link/spec.ts';

export class VirtualNetwork extends EventEmitter<NetworkEvents> {
  readonly #options: ResolvedOptions;
  readonly #loop: TurnLoop;
  readonly #host: KernelNetwork;
  readonly #switch: Switch;
  readonly #gateway: Gateway;
  readonly #tcp: TcpEngine;
  readonly #udp: UdpEngine;
  readonly #echo: EchoForwarder;
  readonly #dhcp: DhcpServer;
  readonly #dns: DnsServer;
  readonly #leases: LeasePool;
  readonly #dhcp6: Dhcp6 | null;
  readonly #zones: Zones;
  readonly #program: ProgramSide;
  readonly #dialer: GuestDialer;
  /** Conversations with guests, to look at and to end. */
  readonly flows: FlowList;
  readonly #captures: Captures;
  readonly #links: Links;
  readonly #forwards: Forwards;
  #closed = false;
  #closing: Promise<void> = Promise.resolve();
  readonly #kinds: WeakMap<Port, LinkKind> = new WeakMap();
  /** Of ports that are gone. */
  readonly #gone: PortCounters = portCounters();

  /** Opens nothing but what the loop has open already. */
  private constructor(options: ResolvedOptions, arena: Arena, loop: TurnLoop) {
    super();
    this.#options = options;
    this.#loop = loop;
    const { timers } = loop;
    this.#host = new KernelNetwork(this.#loop, arena);
    const sum = arenaSum(arena);
    const random = new SystemRandom();
    const { network, mask } = subnetOf(options);
    const address = word(options.gatewayIP);
    const mac = parseMac(options.gatewayMacAddress)!;
    const limits = networkLimits(options);
    this.#gateway = gatewayOf(options, { arena, sum, timers, random, waiting: limits.waiting });
    this.#switch = new Switch({
      bytes: arena.bytes,
      sum,
      mtu: options.mtu,
      gatewayMac: mac,
      gateway: this.#gateway,
      now: () => timers.now,
      guard: options.guard,
      ...(this.#gateway.ipv6 && { ipv6: this.#gateway.ipv6.addresses.answered }),
      isolation: options.isolation,
    });
    this.#gateway.connect(this.#switch);
    this.#links = new Links({
      loop,
      arena,
      receiver: this.#switch,
      vpnkit: { mtu: options.mtu, macs: options.vpnKitUUIDMacAddresses, random },
      connected: (port, kind) => {
        this.#kinds.set(port, kind);
        this.emit('connected', port, kind);
      },
      disconnected: (port, reason, kind) => void this.emit('disconnected', port, reason, kind),
    });
    this.#captures = new Captures(this.#links.taps, loop.clock);
    const virtual = virtualIpv4(options);
    const policy = new FlowPolicy({
      nat: natOf(options),
      allowLinkLocal: options.ec2MetadataAccess,
      ...(options.isolation && { leadsToGuest: (protocol, port) => this.#forwards.has(protocol === PROTOCOL_TCP ? 'tcp' : 'udp', port) }),
    });
    const wake = (): void => this.#loop.wake();
    const gateway = this.#gateway;
    const shared = { arena, sum, timers, random, host: this.#host, gateway, policy };
    this.#tcp = new TcpEngine({ ...shared, limits: limits.tcp }, wake);
    this.#udp = new UdpEngine({ ...shared, maxFlows: limits.udpFlows }, wake);
    this.#echo = new EchoForwarder(shared, wake);
    wireFlows(gateway, this.#tcp, this.#udp, this.#echo, options.guard === 'lease');
    gateway.ipv6?.advertiser.start();
    const now = (): number => timers.now;
    this.#leases = new LeasePool({
      subnet: network,
      mask,
      reserved: [address, word(options.deviceIP), word(options.hostIP), ...virtual],
      // Contract §11.1: the gateway's own address is in the list of leases.
      statics: new Map([[address, options.gatewayMacAddress], ...Object.entries(options.dhcpStaticLeases).map(staticLease)]),
      now,
    });
    gateway.onDetached((port) => this.#leases.detached(port));
    gateway.onDetached((port) => addCounters(this.#gone, port.counters));
    gateway.onDetached((port) => this.#links.detached(port));
    const { mtu, dnsSearchDomains: searchDomains } = options;
    const guard = this.#switch.leases;
    for (const [fixed, holder] of Object.entries(options.dhcpStaticLeases)) {
      const { hi, lo } = parseMac(holder)!;
      guard?.reserve(word(fixed), hi, lo);
    }
    const leased = (holder: string, given: number, vm: Port): void => {
      const { hi, lo } = parseMac(holder)!;
      guard?.lease(given, hi, lo, vm);
      this.emit('lease', formatIpv4(given), holder);
    };
    this.#dhcp = new DhcpServer({ pool: this.#leases, gateway: address, mask, mtu, searchDomains, leased });
    const dhcp6 = dhcp6Of(options, mac, guard?.ipv6?.holders, (holder, given) => void this.emit('lease', given, holder));
    this.#dhcp6 = dhcp6;
    gateway.onDetached((port) => dhcp6?.leases.detached(port));
    const dns = dnsOf(options, timers, random);
    this.#zones = dns.zones;
    this.#dns = dns.server;
    const handed = (): void => this.#loop.handedToNode();
    const parts = { arena, tcp: this.#tcp, udp: this.#udp, dns: this.#dns, policy, neighbours: gateway.neighbours };
    this.#program = new ProgramSide({ ...parts, network: options, now, handed });
    this.#dialer = new GuestDialer(arena, timers, this.#tcp, gateway.neighbours, (guest) => gateway.sourceFor(guest), handed);
    const clients = new ClientAddress({
      gatewayFor: (guest) => gateway.sourceFor(guest),
      isOutside: (address) => gateway.isOutside(address) && !policy.isTranslated(address),
      taken: new Set(virtual),
      preserve: options.preserveClientAddress,
    });
    this.#forwards = new Forwards({
      host: this.#host,
      guest: { neighbours: gateway.neighbours, tcp: this.#tcp, timers, clients },
      inbound: this.#udp.inbound,
      whyNoGuest: (guest) => whyNoGuest(guest, options),
      limit: limits.forwards,
    });
    this.flows = new FlowList(this.#tcp, this.#udp, timers);
    this.#dhcp.listen(this.#program.services);
    this.#dhcp6?.server.listen(this.#program.services);
    this.#dns.listen(this.#program.services);
    const { macs } = this.#switch;
    macs.onLearned = ({ hi, lo, port }) => this.emit('station', formatMac(hi, lo), port);
    macs.onMoved = ({ hi, lo, port }, from) => this.emit('stationMoved', formatMac(hi, lo), from, port);
    macs.onRefused = (entry, port) => this.emit('stationRefused', formatMac(entry.hi, entry.lo), entry.port, port);
    macs.onForgotten = ({ hi, lo, port }) => this.emit('stationGone', formatMac(hi, lo), port);
    this.#loop.atTurnEnd((idle) => this.#tcp.endOfTurn(idle));
    this.#loop.phase(() => this.#links.deliver());
    this.#loop.phase(() => this.#tcp.pump());
    this.#loop.phase(() => this.#udp.pump());
    this.#loop.phase(() => this.#echo.pump());
    this.#loop.phase(() => this.#flush());
  }

  /**
   * Rejects with ConfigError for options that make no sense, with SystemError when a forward can't be bound or this machine is
   * not supported, with Node's error when the capture file can't be created, and with the signal's reason. Then nothing stays open.
   */
  static async create(options: NetworkOptions = {}, { signal }: Abortable = {}): Promise<VirtualNetwork> {
    const resolved = resolveOptions(options);
    const arena = new Arena(ARENA);
    const loop = new TurnLoop(arena);
    let network: VirtualNetwork | undefined;
    try {
      network = new VirtualNetwork(resolved, arena, loop);
      await reserveDescriptors();
      await network.#open(signal);
      return network;
    } catch (error) {
      if (network === undefined) loop.close();
      else await network.close();
      throw error;
    }
  }

  /** Takes what the options want of the host. The capture comes last: where a port is taken an older capture is kept. */
  async #open(signal: AbortSignal | undefined): Promise<void> {
    const { forwards, captureFile } = this.#options;
    const requests = Object.entries(forwards).map(([key, remote]) => ({ ...parseForwardKey(key), remote }));
    checkSignal(signal);
    await this.#forwards.exposeAll(requests, { signal }).catch((error: unknown) => {
      throw error instanceof ForwardError && error.cause instanceof SystemError ? error.cause : error;
    });
    if (captureFile !== undefined) this.#captures.open(captureFile, undefined, (error) => this.emit('captureEnded', error));
  }

  /** Of the gateway, the first VM and the host as guests see them. */
  get addresses(): NetworkAddresses {
    return addressesOf(this.#options);
  }

  #checkOpen(): void {
    if (this.#closed) throw NetworkError.closed();
  }

  /**
   * Opens a link for VMs, by its URL: see docs/links.md. `events` hears of its VMs, beside this network's own events. Rejects with
   * ConfigError for another text, with SystemError when it can't be opened, with Node's error when a host can't be resolved, and
   * with the signal's reason.
   */
  async attach(link: string | LinkSpec, events: Partial<LinkEvents> & Abortable = {}): Promise<Link> {
    this.#checkOpen();
    const { signal } = events;
    checkSignal(signal);
    const opening = this.#links.open(typeof link === 'object' ? link : parseLinkUrl(link), events);
    const opened = await abortable(opening, signal, (late) => late.close());
    // Closed meanwhile: `close` waits for this one and closes it.
    this.#checkOpen();
    return opened;
  }

  /**
   * Listens for QEMU on `unix://PATH` or `tcp://HOST:PORT`, where port 0 is any free one. Rejects with ConfigError for another
   * text, with SystemError when it can't be bound, with Node's error when HOST can't be resolved.
   */
  async listenQemu(url: string, options: Abortable = {}): Promise<Link> {
    this.#checkOpen();
    return this.attach(interfaceLink('qemu', url), options);
  }

  /**
   * Attaches a VM whose connection a server of this process has accepted, and which carries frames as HyperKit and gvforwarder
   * do (16 bits of length, little-endian; contract §6.4), or with `vnetHeader` in 32 bits of length, big-endian, and with a
   * virtio-net header of 12 bytes in front of each, which the length counts: segments larger than the MTU pass, both ways. `head`:
   * bytes of frames that were read already. Takes the socket over.
   * False, and the connection is closed, when there is no room for another VM. Throws SystemError without a descriptor.
   */
  attachSocket(socket: Socket, head: Uint8Array, name: string, options: SocketOptions = {}): boolean {
    this.#checkOpen();
    return this.#links.attachSocket(socket, head, name, options);
  }

  /**
   * Connects to a guest's TCP port, as a client on the gateway's address. The stream's ends are independent (half-close). Rejects
   * with DialError, with ConfigError for an address that can't be a guest's, or with the signal's reason.
   */
  async dial(host: string, port: number, options: DialOptions = {}): Promise<Duplex> {
    this.#checkOpen();
    const target = parseDialTarget(host, port, this.#options);
    return this.#dialer.dial(target.address, target.port, options);
  }

  /**
   * Serves guests' TCP connections to a port of the gateway, or of another address (see ListenOptions); `connection` listens to the event of that
   * name. Throws NetworkError when the port is taken, ConfigError for what is no port or address, or the signal's reason.
   */
  listen(options: number | ListenOptions, connection?: (connection: GuestConnection, peer: Peer) => void): GuestServer {
    this.#checkOpen();
    return this.#program.listen(typeof options === 'number' ? { port: options } : options, connection);
  }

  /** As `listen`, for a server of Node's (`http`, `http2`) or another that takes streams by its `connection` event. */
  serve(server: { emit(event: 'connection', connection: GuestConnection): unknown }, options: number | ListenOptions): GuestServer {
    if (typeof server?.emit !== 'function') throw new ArgumentError('serve wants a server that emits connections');
    return this.listen(options, (connection) => void server.emit('connection', connection));
  }

  /** A UDP port of the gateway. Throws NetworkError when it is taken, ConfigError for what is no port, or the signal's reason. */
  udp(options: UdpOptions = {}): GuestSocket {
    this.#checkOpen();
    return this.#program.udp(options);
  }

  /**
   * `hook` is asked about each TCP connection and UDP conversation that a guest begins from now on, but for those with the gateway's own services; null:
   * nobody is. Names are known of answers that the gateway's DNS gives while there is a hook. See FlowVerdict.
   */
  onFlow(hook: FlowHook | null): void {
    this.#checkOpen();
    if (hook !== null && typeof hook !== 'function') throw new ArgumentError(`onFlow wants a function, or null, not ${String(hook)}`);
    this.#program.hook = hook;
  }

  /** `observer` sees frames of one VM or all, from now on. Disposing of what is returned ends that. Throws ArgumentError for a port that isn't attached. */
  tap(observer: FrameObserver, { port }: TapOptions = {}): Disposable {
    this.#checkOpen();
    if (typeof observer !== 'function') throw new ArgumentError(`tap wants a function that sees frames, not ${String(observer)}`);
    return { [Symbol.dispose]: this.#links.taps.add(observing(observer), this.#attached(port)) };
  }

  /** Writes frames of one VM or all to a pcapng file. Throws as `tap`, and Node's error when the file can't be created. */
  capture(file: string, { port }: TapOptions = {}): FrameCapture {
    this.#checkOpen();
    return this.#captures.open(file, this.#attached(port));
  }

  #attached(port: Port | undefined): Port | undefined {
    if (port === undefined || this.#links.taps.has(port)) return port;
    throw new ArgumentError('the port is none of a VM that is attached to this network');
  }

  /** The names that the gateway answers for itself; may be changed at any time. */
  get zones(): Zones {
    return this.#zones;
  }

  /** MAC address → id of the port it was last seen on (gvproxy's CAM, contract §7). */
  get stations(): Map<string, number> {
    return new Map([...this.#switch.macs].map(({ hi, lo, port }) => [formatMac(hi, lo), port.id]));
  }

  /** VMs that are attached: their ends of the wire, with their counters. */
  get ports(): readonly Port[] {
    return [...this.#switch.ports];
  }

  /** How the VM came in; `memory`: it lives in this process. */
  linkOf(port: Port): LinkKind | 'memory' {
    return this.#kinds.get(port) ?? 'memory';
  }

  /**
   * Attaches a guest that lives in this process; frames for it go to `sink`. Throws RangeError when there is no room for it,
   * TypeError when `sink` is no function.
   */
  attachMemory(name: string, sink: FrameSink): MemoryPort {
    this.#checkOpen();
    if (typeof sink !== 'function') throw new ArgumentError(`attachMemory wants a function that takes frames, not ${String(sink)}`);
    return this.#links.attachMemory(name, sink);
  }

  /**
   * Forwards a TCP port of the host to a guest's `ip:port`. `local` is `ip:port` (IPv6 in brackets), `localhost:port`, or `:port`
   * for every address; port 0 is any free one; `udp:` in front makes it a UDP port. Throws ConfigError for another text, ForwardError when
   * there is such a forward, SystemError when it can't be bound.
   */
  forward(local: string, target: string): HostForward {
    this.#checkOpen();
    const from = parseForwardLocal(local);
    const to = parseForwardTarget(target, this.#options);
    return this.#forwards.exposeNow(from.protocol, from.address, from.port, from.local, to);
  }

  /** All forwards; more may be added and removed at any time. */
  get forwards(): Forwards {
    return this.#forwards;
  }

  /**
   * Captures the frames of every VM, or of `port`'s until it goes, for a reader who takes them from `capture`; `stop` ends it. One that
   * takes too slowly loses frames.
   */
  liveCapture(port: Port | null = null): { capture: LiveCapture; stop: () => void } {
    this.#checkOpen();
    return this.#captures.live(port);
  }

  #flush(): boolean {
    const more = this.#links.flush();
    this.#captures.flush();
    return more;
  }

  /** Address → MAC of everyone who has a lease. */
  get leases(): Map<string, string> {
    return new Map([...this.#leases.list(), ...(this.#dhcp6?.leases.list() ?? [])]);
  }

  /** Bytes of frames to VMs since the start. */
  get bytesSent(): number {
    return this.#portCounters().txBytes;
  }

  /** Bytes of frames from VMs since the start. */
  get bytesReceived(): number {
    return this.#portCounters().rxBytes;
  }

  #portCounters(): PortCounters {
    const sum = { ...this.#gone };
    for (const port of this.#switch.ports) addCounters(sum, port.counters);
    return sum;
  }

  /** Since the start. The parts count on in these objects; the sums are of this moment. */
  get counters(): NetworkCounters {
    return collectCounters({
      ports: this.#portCounters(),
      switch: this.#switch,
      gateway: this.#gateway,
      tcp: this.#tcp,
      udp: this.#udp,
      echo: this.#echo,
      dhcp: this.#dhcp,
      dhcp6: this.#dhcp6?.server,
      dns: this.#dns,
      host: this.#host,
    });
  }

  /** VMs attached. */
  get portCount(): number {
    return this.#switch.ports.size;
  }

  /** Keeps the process alive, or no longer. */
  unref(): void {
    if (!this.#closed) this.#loop.unref();
  }

  /** Resets every flow, detaches every VM, removes sockets. Closing twice is closing once. */
  async close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      this.#closing = this.#close();
    }
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    // Their sockets would stay behind if the loop went first.
    await this.#links.opened();
    this.#forwards.close();
    this.#dialer.close();
    this.#program.close();
    // Connections to a guest that was being looked for.
    this.#gateway.neighbours.close();
    this.#gateway.ipv6?.advertiser.stop();
    this.#dhcp.close();
    this.#dhcp6?.server.close();
    this.#dns.close();
    this.#tcp.close();
    this.#flush();
    this.#udp.close();
    this.#echo.close();
    this.#links.close();
    this.#host.close();
    this.#loop.close();
    this.#captures.close();
  }
}

function word(address: string): number {
  return parseIpv4(address)!;
}

function staticLease([address, mac]: [string, string]): [number, string] {
  return [word(address), mac];
}
