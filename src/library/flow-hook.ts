/**
 * Lets a program decide about each conversation that a guest begins: it goes on, is refused, ends elsewhere, or ends in this process.
 *
 * The program's code runs outside the packet path, when the turn is over; the SYN or the first datagrams wait for it. Addresses that are served
 * in this process are found at once.
 */
import { formatMac } from '../packet/mac.ts';
import { IpAddress } from '../packet/address.ts';
import type { Arena } from '../runtime/arena.ts';
import { ALLOW, type Decision, DENY, type FlowGate, type Opening } from '../flow/gate.ts';
import type { StreamService } from '../flow/listener.ts';
import type { GatewayServices } from '../flow/service-host.ts';
import type { Port } from '../link/port.ts';
import type { AnsweredNames } from '../service/dns/answered-names.ts';
import { ConfigError } from '../config/subnet.ts';
import { type GuestConnection, guestConnection } from './guest-connection.ts';
import { GuestConversation } from './guest-datagrams.ts';

export interface NewFlow {
  readonly protocol: 'tcp' | 'udp';
  readonly guest: string;
  readonly guestPort: number;
  readonly mac: string;
  /** The VM's end of the wire. */
  readonly vm: Port;
  /** What the guest asks for: before NAT. */
  readonly remote: string;
  readonly remotePort: number;
  /** Names that the gateway's DNS has told this VM the remote address for, the last first; in lower case, without the final dot. */
  readonly names: readonly string[];
}

/**
 * `allow`, or nothing: as without a hook, which refuses what it always does. `deny`: a RST, or for UDP an ICMP error. `redirect`: the host connects to this IP
 * address instead, of its own network and as it is (127.0.0.1 is the host); the port is the one that was asked for, unless it is given. `connection` and
 * `datagrams`: the conversation ends in this process.
 */
export type FlowVerdict =
  | 'allow'
  | 'deny'
  | undefined
  | void
  | { readonly redirect: { readonly host: string; readonly port?: number } }
  | { readonly connection: (connection: GuestConnection) => void }
  | { readonly datagrams: (conversation: GuestConversation) => void };

/** What it throws, or rejects with, refuses the flow, and is the program's to see: an unhandled rejection. */
export type FlowHook = (flow: NewFlow) => FlowVerdict | PromiseLike<FlowVerdict>;

export interface FlowHooksOptions {
  readonly arena: Arena;
  readonly services: GatewayServices;
  readonly names: AnsweredNames;
  /** See TurnLoop.handedToNode. */
  readonly handed: () => void;
}

export class FlowHooks implements FlowGate {
  hook: FlowHook | null = null;
  /** Services on addresses other than the gateway's, by `address port`. */
  readonly #served: Map<string, Decision> = new Map();
  readonly #options: FlowHooksOptions;

  constructor(options: FlowHooksOptions) {
    this.#options = options;
  }

  /** Whether there is anything to ask about. */
  get inUse(): boolean {
    return this.hook !== null || this.#served.size > 0;
  }

  serves(address: IpAddress, port: number): boolean {
    return this.#served.has(`${address.toString()} ${port}`);
  }

  /** Guests' connections to this address go to `service`. Returns what ends that. */
  serve(address: IpAddress, port: number, service: StreamService): () => void {
    const key = `${address.toString()} ${port}`;
    this.#served.set(key, { kind: 'stream', accept: this.#options.services.accepting(service) });
    return () => void this.#served.delete(key);
  }

  ask(opening: Opening, decide: (decision: Decision) => void): Decision | null {
    if (this.#served.size > 0 && opening.protocol === 'tcp') {
      const served = this.#served.get(`${opening.remote.toString()} ${opening.remotePort}`);
      if (served !== undefined) return served;
    }
    const { hook } = this;
    if (hook === null) return ALLOW;
    void this.#consult(hook, opening, this.#describe(opening), decide);
    this.#options.handed();
    return null;
  }

  /** Of the moment: the guest may move, or have gone, before the hook is called. */
  #describe({ protocol, neighbour, guestPort, remote, remotePort }: Opening): NewFlow {
    const vm = neighbour.port!;
    const { names } = this.#options;
    return {
      protocol,
      guest: new IpAddress(neighbour.w0, neighbour.w1, neighbour.w2, neighbour.w3).toString(),
      guestPort,
      mac: formatMac(neighbour.macHi, neighbour.macLo),
      vm,
      remote: remote.toString(),
      remotePort,
      names: names.of(vm, remote.toString()),
    };
  }

  async #consult(hook: FlowHook, opening: Opening, flow: NewFlow, decide: (decision: Decision) => void): Promise<void> {
    // Out of the packet path.
    await Promise.resolve();
    let decision = DENY;
    try {
      decision = this.#decision(await hook(flow), opening);
    } finally {
      decide(decision);
    }
  }

  #decision(verdict: FlowVerdict, opening: Opening): Decision {
    const { protocol, remote, remotePort } = opening;
    const refuse = (why: string): never => {
      throw new ConfigError(`what a flow hook has returned can't be followed: ${why}`);
    };
    if (verdict === undefined || verdict === 'allow') return ALLOW;
    if (verdict === 'deny') return DENY;
    if (typeof verdict !== 'object' || verdict === null) return refuse(`${String(verdict)} is no verdict`);
    if ('redirect' in verdict) {
      const { host, port = remotePort } = verdict.redirect;
      const address = typeof host === 'string' ? IpAddress.parse(host) : undefined;
      if (address === undefined) return refuse(`${JSON.stringify(host)} is no IP address`);
      if (!Number.isInteger(port) || port < 1 || port > 65_535) return refuse(`there is no port ${String(port)}`);
      return { kind: 'redirect', address, port };
    }
    if ('connection' in verdict) {
      const { connection } = verdict;
      if (protocol !== 'tcp' || typeof connection !== 'function') return refuse('a connection is a function, and for TCP');
      const service: StreamService = (stream, peer) => connection(guestConnection(stream, peer, remote, remotePort));
      return { kind: 'stream', accept: this.#options.services.accepting(soon(service)) };
    }
    const { datagrams } = verdict;
    if (protocol !== 'udp' || typeof datagrams !== 'function') return refuse('datagrams is a function, and for UDP');
    const open = (): MessageConversation => {
      const conversation = new GuestConversation(this.#options.arena, this.#options.handed);
      queueMicrotask(() => datagrams(conversation));
      return conversation.endpoint;
    };
    return { kind: 'datagrams', open };
  }
}

type MessageConversation = GuestConversation['endpoint'];

/** The program's code, out of the packet path. */
export function soon(service: StreamService): StreamService {
  return (stream, peer) => queueMicrotask(() => service(stream, peer));
}
