/** What the embedding program has open inside a network: servers, sockets, and the hook that is asked about new flows. */
import { IpAddress } from '../packet/address.ts';
import type { Arena } from '../runtime/arena.ts';
import type { Abortable } from '../runtime/abortable.ts';
import type { NeighbourTable } from '../gateway/neighbour.ts';
import type { StreamService } from '../flow/listener.ts';
import type { FlowPolicy } from '../flow/policy.ts';
import { GatewayServices } from '../flow/service-host.ts';
import type { TcpEngine } from '../flow/tcp/engine.ts';
import type { UdpEngine } from '../flow/udp/engine.ts';
import { AnsweredNames } from '../service/dns/answered-names.ts';
import type { DnsServer } from '../service/dns/server.ts';
import { parseDialTarget, type ForwardNetwork, whyNoGuest } from '../config/forward-address.ts';
import { ConfigError } from '../config/subnet.ts';
import { ArgumentError, checkObject, checkSignal, NetworkError } from '../errors.ts';
import { FlowHooks, type FlowHook, soon } from './flow-hook.ts';
import { guestConnection } from './guest-connection.ts';
import { GuestServer, type GuestServerEvents } from './guest-server.ts';
import { GuestSocket } from './guest-datagrams.ts';

/** Where programs are given a port, from here up (RFC 6335 §6). */
const FIRST_FREE = 49_152;
const LAST_PORT = 65_535;

export interface ListenOptions extends Abortable {
  /** 0: any free one. */
  readonly port: number;
  /**
   * As guests see it. Default: the gateway, at its addresses of both versions of IP; either of them means both. Another one of the subnet
   * must be among `gatewayVirtualIPs`; any other, also a public one, is served here instead of by whoever has it.
   */
  readonly host?: string;
}

export interface UdpOptions extends Abortable {
  /** Of the gateway's address; 0, or none: any free one. */
  readonly port?: number;
}

type Connected = GuestServerEvents['connection'];

export interface ProgramSideOptions {
  readonly network: ForwardNetwork;
  readonly arena: Arena;
  readonly tcp: TcpEngine;
  readonly udp: UdpEngine;
  readonly dns: DnsServer;
  readonly policy: FlowPolicy;
  readonly neighbours: NeighbourTable;
  /** Milliseconds. */
  readonly now: () => number;
  /** See TurnLoop.handedToNode. */
  readonly handed: () => void;
}

export class ProgramSide {
  /** For the gateway's own services too. */
  readonly services: GatewayServices;
  readonly #options: ProgramSideOptions;
  readonly #hooks: FlowHooks;
  readonly #names: AnsweredNames;
  readonly #open: Set<GuestServer | GuestSocket> = new Set();

  constructor(options: ProgramSideOptions) {
    const { arena, tcp, udp, handed } = options;
    this.#options = options;
    this.services = new GatewayServices(arena, tcp, udp, handed);
    this.#names = new AnsweredNames(options.now);
    this.#hooks = new FlowHooks({ arena, services: this.services, names: this.#names, handed });
  }

  /** See VirtualNetwork.listen. */
  listen(options: ListenOptions, listener?: (...event: Connected) => void): GuestServer {
    checkObject(options, 'listen');
    const { port, host = this.#gateway, signal } = options;
    checkSignal(signal);
    if (listener !== undefined && typeof listener !== 'function') {
      throw new ArgumentError(`listen wants a function that takes connections, not ${String(listener)}`);
    }
    const address = this.#servable(host);
    const own = this.#isGateway(address);
    const isTaken = (candidate: number): boolean => (own ? this.#options.tcp.listens(candidate) : this.#hooks.serves(address, candidate));
    const chosen = choosePort(port, isTaken);
    if (!own && isTaken(chosen)) throw new NetworkError('port-taken', `port ${chosen} of ${host} is already listened on`);
    const server = new GuestServer(host, chosen);
    const service: StreamService = soon(
      (stream, peer) =>
        void server.emit('connection', guestConnection(stream, peer, own ? this.#gatewayFor(peer.address) : address, chosen), peer),
    );
    if (listener !== undefined) server.on('connection', listener);
    const listening = own ? this.services.listenStream(chosen, service) : { close: this.#hooks.serve(address, chosen, service) };
    this.#gate();
    return this.#opened(
      server.started(() => {
        listening.close();
        this.#open.delete(server);
        this.#gate();
      }),
      signal,
    );
  }

  /** See VirtualNetwork.udp. */
  udp(options: UdpOptions): GuestSocket {
    checkObject(options, 'udp');
    const { port = 0, signal } = options;
    checkSignal(signal);
    const { network, udp, neighbours } = this.#options;
    const chosen = choosePort(port, (candidate) => udp.services.has(candidate));
    const socket = new GuestSocket(this.#gateway, chosen, {
      neighbours,
      target: (host, to) => parseDialTarget(host, to, network),
      send: (...datagram) => udp.services.sendTo(...datagram),
    });
    const listener = this.services.listenDatagram(chosen, (payload, peer) => {
      const from = { address: peer.address.toString(), port: peer.port, vm: peer.vm };
      queueMicrotask(() => socket.emit('message', Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength), from));
    });
    return this.#opened(
      socket.started(() => {
        listener.close();
        this.#open.delete(socket);
      }),
      signal,
    );
  }

  #opened<T extends GuestServer | GuestSocket>(opened: T, signal: AbortSignal | undefined): T {
    this.#open.add(opened);
    if (signal !== undefined) {
      const close = (): void => opened.close();
      signal.addEventListener('abort', close, { once: true });
      (opened as GuestSocket).once('close', () => signal.removeEventListener('abort', close));
    }
    return opened;
  }

  /** See VirtualNetwork.onFlow. */
  set hook(hook: FlowHook | null) {
    this.#hooks.hook = hook;
    this.#options.dns.onAnswer = hook === null ? null : (answer, vm) => this.#names.learn(answer, vm);
    this.#gate();
  }

  #gate(): void {
    this.#options.policy.gate = this.#hooks.inUse ? this.#hooks : null;
  }

  /** Throws ConfigError for an address that guests' packets to can't come here. */
  #servable(host: string): IpAddress {
    const { network, policy } = this.#options;
    const address = typeof host === 'string' ? IpAddress.parse(host) : undefined;
    const fail = (why: string): never => {
      throw new ConfigError(`cannot listen on ${JSON.stringify(host)}: ${why}`);
    };
    if (address === undefined) return fail('it is no IP address');
    if (this.#isGateway(address)) return address;
    if (address.isIpv4 ? network.ipv4 === false : network.subnet6 === undefined) return fail(`guests have no IPv${address.isIpv4 ? 4 : 6}`);
    const first = (address.isIpv4 ? address.w3 : address.w0) >>> 24;
    if (first === 0 || (address.isIpv4 && (first === 127 || first >= 224)) || first >= 0xfe) return fail('guests send nothing there');
    const known = network.gatewayVirtualIPs.includes(host) || policy.translate(address) !== address;
    const why = known ? 'not a guest' : whyNoGuest(address.toString(), network);
    if (why === undefined || why.endsWith('network itself')) return fail("it is a guest's, and not among gatewayVirtualIPs");
    if (!known && why.endsWith("gateway's")) return fail(`the gateway's own is ${this.#gateway}`);
    return address;
  }

  /** Its address of IPv4, where guests have that. */
  get #gateway(): string {
    const { ipv4, gatewayIP, gatewayIP6 } = this.#options.network;
    return ipv4 === false ? gatewayIP6! : gatewayIP;
  }

  /** An address of a version that guests don't have is not its. */
  #isGateway(address: IpAddress): boolean {
    const { gatewayIP, gatewayIP6, ipv4 } = this.#options.network;
    const text = address.toString();
    return text === gatewayIP6 || (text === gatewayIP && ipv4 !== false);
  }

  /** As this guest sees it. */
  #gatewayFor(guest: IpAddress): IpAddress {
    const { gatewayIP, gatewayIP6 } = this.#options.network;
    return IpAddress.parse(guest.isIpv4 ? gatewayIP : gatewayIP6!)!;
  }

  close(): void {
    for (const opened of this.#open) opened.close();
    this.hook = null;
  }
}

/** Throws ConfigError for what is no port. */
function choosePort(port: number, isTaken: (port: number) => boolean): number {
  if (!Number.isInteger(port) || port < 0 || port > LAST_PORT)
    throw new ConfigError(`there is no port ${String(port)}: want 1 to 65535, or 0 for any`);
  if (port !== 0) return port;
  for (let candidate = FIRST_FREE; candidate <= LAST_PORT; candidate++) if (!isTaken(candidate)) return candidate;
  throw new NetworkError('port-taken', `every port from ${FIRST_FREE} up is already listened on`);
}
