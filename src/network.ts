/**
 * A virtual network: switch, gateway, flows and services wired together, in one process, without root.
 *
 *     VM ⇄ link ⇄ switch ⇄ gateway ⇄ flow ⇄ host endpoint
 *                               └── service (dhcp, dns)        forward ──┘ (host → guest)
 */
import { EventEmitter } from 'node:events';
import { IpAddress, parseIpv4 } from './packet/address.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from './packet/ipv4.ts';
import { parseMac } from './packet/mac.ts';
import { Arena } from './runtime/arena.ts';
import { arenaSum } from './runtime/arena-checksum.ts';
import { TurnLoop } from './runtime/turn-loop.ts';
import { SystemRandom } from './runtime/wall-clock.ts';
import { descriptorLimit } from './host/descriptors.ts';
import { KernelNetwork } from './host/kernel-network.ts';
import { Capture } from './link/capture.ts';
import { type FrameSink, MemoryPort } from './link/memory-port.ts';
import type { Port } from './link/port.ts';
import { QemuListener } from './link/qemu.ts';
import { Switch } from './switch/switch.ts';
import { Gateway } from './gateway/gateway.ts';
import { EchoForwarder } from './flow/echo.ts';
import { FlowPolicy } from './flow/policy.ts';
import { GatewayServices } from './flow/service-host.ts';
import { DEFAULT_TCP_LIMITS, TcpEngine } from './flow/tcp/engine.ts';
import { DEFAULT_UDP_FLOWS, UdpEngine } from './flow/udp/engine.ts';
import { TcpForward } from './forward/tcp-forward.ts';
import { LeasePool } from './service/dhcp/lease-pool.ts';
import { DhcpServer } from './service/dhcp/server.ts';
import { Forwarder } from './service/dns/forwarder.ts';
import { parseHosts, parseNameservers } from './service/dns/host-files.ts';
import { NodeUpstream, nodeFiles } from './service/dns/node-upstream.ts';
import { DnsServer } from './service/dns/server.ts';
import { WatchedFile } from './service/dns/watched-file.ts';
import { Zones } from './service/dns/zones.ts';
import type { NetworkOptions } from './network-options.ts';

/** Address space reserved for frames and buffers; memory becomes resident when it is used. */
const ARENA = 256 << 20;
/** Most bytes of a guest's data ahead of the host: a long queue of small frames overruns the guest's transmit queue. */
const WINDOW_SMALL_MTU = 512 * 1024;
const WINDOW_LARGE_MTU = 2 << 20;
const LARGE_MTU = 9000;

export interface NetworkEvents {
  connected: [port: Port];
  /** `reason` is text for the log. */
  disconnected: [port: Port, reason: string];
}

/** Parts of the process's descriptors that flows may have; what is left is for links, listeners and resolvers. */
const TCP_DESCRIPTORS = 0.65;
const UDP_DESCRIPTORS = 0.2;

export class VirtualNetwork extends EventEmitter<NetworkEvents> {
  readonly #arena: Arena = new Arena(ARENA);
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
  readonly #capture: Capture | null;
  readonly #gatewayAddress: IpAddress;
  readonly #listeners: Set<QemuListener> = new Set();
  readonly #memoryPorts: Set<MemoryPort> = new Set();
  readonly #forwards: Set<TcpForward> = new Set();
  #nextPort = 0;
  /** Bytes of ports that are gone. */
  #goneSent = 0;
  #goneReceived = 0;

  private constructor(options: NetworkOptions) {
    super();
    const arena = this.#arena;
    this.#loop = new TurnLoop(arena);
    const { timers } = this.#loop;
    this.#host = new KernelNetwork(this.#loop, arena);
    const sum = arenaSum(arena);
    const random = new SystemRandom();
    const [network, length] = options.subnet.split('/');
    const mask = Number(length) === 0 ? 0 : -1 << (32 - Number(length));
    const address = word(options.gatewayIP);
    this.#gatewayAddress = IpAddress.v4(address);
    const mac = parseMac(options.gatewayMacAddress)!;
    this.#gateway = new Gateway({
      arena,
      sum,
      timers,
      random,
      mac,
      address,
      subnet: word(network!) & mask,
      mask,
      virtualAddresses: options.gatewayVirtualIPs.map(word),
      mtu: options.mtu,
    });
    this.#switch = new Switch({ bytes: arena.bytes, gatewayMac: mac, gateway: this.#gateway, now: () => timers.now });
    this.#gateway.connect(this.#switch);
    const nat = new Map(Object.entries(options.nat).map(([from, to]) => [word(from), word(to)]));
    const policy = new FlowPolicy({ nat, allowLinkLocal: options.ec2MetadataAccess });
    const receiveWindow = options.mtu > LARGE_MTU ? WINDOW_LARGE_MTU : WINDOW_SMALL_MTU;
    const wake = (): void => this.#loop.wake();
    const gateway = this.#gateway;
    const shared = { arena, sum, timers, random, host: this.#host, gateway, policy };
    const descriptors = descriptorLimit();
    const flows = Math.min(DEFAULT_TCP_LIMITS.flows, Math.floor(descriptors * TCP_DESCRIPTORS));
    const maxFlows = Math.min(DEFAULT_UDP_FLOWS, Math.floor(descriptors * UDP_DESCRIPTORS));
    this.#tcp = new TcpEngine({ ...shared, limits: { receiveWindow, flows } }, wake);
    this.#udp = new UdpEngine({ ...shared, maxFlows }, wake);
    this.#echo = new EchoForwarder(shared, wake);
    gateway.transport(PROTOCOL_TCP, this.#tcp);
    gateway.transport(PROTOCOL_UDP, this.#udp);
    gateway.icmpInput.echo = this.#echo;
    gateway.onBatch(() => this.#tcp.endOfBatch());
    gateway.onBatch(() => this.#udp.endOfBatch());
    gateway.onBatch(() => this.#echo.endOfBatch());
    gateway.onDrained((port) => this.#tcp.drained(port));
    gateway.onDrained((port) => this.#udp.drained(port));
    gateway.onDetached(() => this.#tcp.detached());
    gateway.onDetached(() => this.#udp.detached());
    gateway.onDetached((port) => this.#echo.detached(port));
    gateway.onReport((report) => this.#udp.report(report));
    const now = (): number => timers.now;
    this.#leases = new LeasePool({
      subnet: word(network!) & mask,
      mask,
      reserved: [address, word(options.deviceIP), word(options.hostIP), ...options.gatewayVirtualIPs.map(word)],
      // Contract §11.1: the gateway's own address is in the list of leases.
      statics: new Map([[address, options.gatewayMacAddress], ...Object.entries(options.dhcpStaticLeases).map(staticLease)]),
      now,
    });
    const { mtu, dnsSearchDomains: searchDomains } = options;
    this.#dhcp = new DhcpServer({ pool: this.#leases, gateway: address, mask, mtu, searchDomains });
    const hosts = new WatchedFile('/etc/hosts', nodeFiles, now, parseHosts);
    const servers = new WatchedFile('/etc/resolv.conf', nodeFiles, now, parseNameservers);
    const forwarder = new Forwarder(new NodeUpstream(), () => servers.value, random);
    this.#dns = new DnsServer({ zones: new Zones(options.dns), hosts: () => hosts.value, forwarder, timers });
    const services = new GatewayServices(arena, this.#tcp, this.#udp, () => this.#loop.handedToNode());
    this.#dhcp.listen(services);
    this.#dns.listen(services);
    const started = Date.now() - this.#loop.clock.now();
    this.#capture = options.captureFile === undefined ? null : new Capture(options.captureFile, () => started + this.#loop.clock.now());
    this.#loop.phase(() => this.#deliver());
    this.#loop.phase(() => this.#tcp.pump());
    this.#loop.phase(() => this.#udp.pump());
    this.#loop.phase(() => this.#echo.pump());
    this.#loop.phase(() => this.#flush());
    for (const [local, target] of Object.entries(options.forwards)) this.forward(local, target);
  }

  /** Throws SystemError when a forward can't be bound or this machine is not supported. */
  static async create(options: NetworkOptions): Promise<VirtualNetwork> {
    return new VirtualNetwork(options);
  }

  /** Listens for QEMU on `unix://PATH` or `tcp://HOST:PORT`. Throws SystemError. */
  async listenQemu(url: string): Promise<QemuListener> {
    const events = {
      connected: (port: Port): void => {
        port.tap = this.#capture;
        this.emit('connected', port);
      },
      disconnected: (port: Port, reason: string): void => {
        this.#goneSent += port.counters.txBytes;
        this.#goneReceived += port.counters.rxBytes;
        this.emit('disconnected', port, reason);
      },
    };
    const listener = await QemuListener.open(url, this.#loop, this.#arena, this.#switch, events, () => this.#nextPort++);
    this.#listeners.add(listener);
    return listener;
  }

  /** Attaches a guest that lives in this process; frames for it go to `sink`. */
  attachMemory(name: string, sink: FrameSink): MemoryPort {
    const port = new MemoryPort(this.#nextPort++, name, this.#arena, this.#loop, this.#switch, sink);
    port.tap = this.#capture;
    this.#memoryPorts.add(port);
    this.#switch.attached(port);
    return port;
  }

  /** Forwards the host's `ip:port` (or `:port`, every address) to the guest's `ip:port`. Throws SystemError. */
  forward(local: string, target: string): TcpForward {
    const from = endpoint(local);
    const to = endpoint(target);
    const forward = new TcpForward(from.address, from.port, to, {
      host: this.#host,
      neighbours: this.#gateway.neighbours,
      tcp: this.#tcp,
      source: this.#gatewayAddress,
    });
    this.#forwards.add(forward);
    return forward;
  }

  #deliver(): boolean {
    let delivered = false;
    for (const port of this.#memoryPorts) if (port.deliver()) delivered = true;
    return delivered;
  }

  #flush(): boolean {
    let more = false;
    for (const port of this.#memoryPorts) if (port.flush()) more = true;
    this.#capture?.flush();
    return more;
  }

  /** Address → MAC of everyone who has a lease. */
  get leases(): Map<string, string> {
    return this.#leases.list();
  }

  /** Bytes of frames to VMs since the start. */
  get bytesSent(): number {
    return this.#sum((port) => port.counters.txBytes) + this.#goneSent;
  }

  /** Bytes of frames from VMs since the start. */
  get bytesReceived(): number {
    return this.#sum((port) => port.counters.rxBytes) + this.#goneReceived;
  }

  #sum(field: (port: Port) => number): number {
    let total = 0;
    for (const port of this.#switch.ports) total += field(port);
    return total;
  }

  /** VMs attached. */
  get portCount(): number {
    return this.#switch.ports.size;
  }

  /** Keeps the process alive, or no longer. */
  unref(): void {
    this.#loop.unref();
  }

  /** Resets every flow, detaches every VM, removes sockets. */
  async close(): Promise<void> {
    for (const forward of this.#forwards) forward.close();
    this.#dhcp.close();
    this.#dns.close();
    this.#tcp.close();
    this.#flush();
    this.#udp.close();
    this.#echo.close();
    for (const port of this.#memoryPorts) port.close();
    for (const listener of this.#listeners) listener.close();
    this.#capture?.close();
    this.#loop.close();
  }
}

function word(address: string): number {
  return parseIpv4(address)!;
}

function staticLease([address, mac]: [string, string]): [number, string] {
  return [word(address), mac];
}

function endpoint(text: string): { address: IpAddress; port: number } {
  const colon = text.lastIndexOf(':');
  const host = text.slice(0, colon).replace(/^\[|\]$/g, '');
  return { address: host === '' ? new IpAddress(0, 0, 0, 0) : IpAddress.parse(host)!, port: Number(text.slice(colon + 1)) };
}
