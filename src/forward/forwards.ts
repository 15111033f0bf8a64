/**
 * The forwards of one network: host ports and unix sockets that lead to guests, added and removed while it runs (contract §13.7,
 * §13.8, §14). What identifies one is its protocol and its local text, letter by letter.
 */
import { ArgumentError, checkObject, checkSignal, NetworkError } from '../errors.ts';
import { abortable, type Abortable } from '../runtime/abortable.ts';
import { formatEndpoint, type IpAddress } from '../packet/address.ts';
import { type Forward, ForwardError, type ForwardRequest } from './forward.ts';
import { ForwardCounters, type GuestSide } from './guest-connections.ts';
import { HostForward } from './host-forward.ts';
import { type ForwardWorld, listenTcp, listenUdp, listenUnix } from './listen.ts';
import { bindError, hostPort, parseLocal, resolveLocal } from './local-address.ts';
import { type ForwardTarget, parseRemote, parseUnixRemote, type WhyNoGuest } from './remote-address.ts';

/** Makes a forward from a unix socket of the host to one of a guest, over SSH; without opening a session. */
export type OpenSshTunnel = (local: string, remote: string) => Forward | Promise<Forward>;

export interface ForwardsOptions extends Pick<ForwardWorld, 'host' | 'inbound'> {
  readonly guest: Omit<GuestSide, 'counters'>;
  readonly whyNoGuest: WhyNoGuest;
  /** Forwards at once: guests may ask for them too, and each holds a descriptor. */
  readonly limit: number;
}

/** Opens a forward's socket: all that can be checked without it was. */
type Open = () => Forward | Promise<Forward>;

export class Forwards {
  /** For `ssh-tunnel://` remotes of unix forwards; without it they are refused. */
  openSshTunnel: OpenSshTunnel | null = null;
  readonly counters: ForwardCounters = new ForwardCounters();
  readonly #world: ForwardWorld;
  readonly #whyNoGuest: WhyNoGuest;
  readonly #limit: number;
  readonly #forwards: Map<string, Forward> = new Map();
  /** Keys of forwards that are being made. */
  readonly #reserved: Set<string> = new Set();
  #closed = false;

  constructor(options: ForwardsOptions) {
    const { host, inbound, guest, whyNoGuest, limit } = options;
    this.#world = { host, inbound, guest: { ...guest, counters: this.counters } };
    this.#whyNoGuest = whyNoGuest;
    this.#limit = limit;
  }

  /** Whether a port of the host leads to a guest. */
  has(protocol: 'tcp' | 'udp', port: number): boolean {
    for (const forward of this.#forwards.values()) if (forward.protocol === protocol && forward.boundPort === port) return true;
    return false;
  }

  /** Listens, and goes on until it is unexposed or closed. Rejects with ForwardError, or the signal's reason. */
  async expose(request: ForwardRequest, options: Abortable = {}): Promise<Forward> {
    const [forward] = await this.exposeAll([request], options);
    return forward!;
  }

  /** All of them in the order given or, when one fails, none. Rejects with ForwardError, or the signal's reason. */
  async exposeAll(requests: readonly ForwardRequest[], { signal }: Abortable = {}): Promise<Forward[]> {
    const reserved: string[] = [];
    const opened: Forward[] = [];
    checkSignal(signal);
    try {
      for (const request of requests) reserved.push(this.#reserve(request));
      // All are waited for: whatever is wrong with one, none is left behind.
      const preparing = Promise.allSettled(requests.map((request) => this.#prepare(request)));
      const prepared = await abortable(preparing, signal, () => {});
      const failed = prepared.find(({ status }) => status === 'rejected');
      if (failed !== undefined) throw (failed as PromiseRejectedResult).reason;
      for (const each of prepared) {
        // Closed or given up while names were resolved or tunnels made.
        this.#checkGoingOn(signal);
        opened.push(await (each as PromiseFulfilledResult<Open>).value());
      }
      this.#checkGoingOn(signal);
    } catch (error) {
      for (const forward of opened) forward.close();
      throw error;
    } finally {
      for (const key of reserved) this.#reserved.delete(key);
    }
    for (const forward of opened) this.#forwards.set(keyOf(forward), forward);
    return opened;
  }

  /**
   * As `expose`, for an address that needs no resolver, at once. Where port 0 is asked for, the forward goes by the port that it
   * got, so that there may be several. Throws ForwardError, or SystemError when the address can't be bound.
   */
  exposeNow(protocol: 'tcp' | 'udp', address: IpAddress, port: number, local: string, target: ForwardTarget): HostForward {
    if (port !== 0) this.#reserved.delete(this.#reserve({ protocol, local }));
    else this.#checkRoom();
    const listening = (protocol === 'tcp' ? listenTcp : listenUdp)(this.#world, address, port, target);
    const named = port === 0 ? local.replace(/\d*$/, String(listening.port)) : local;
    const remote = formatEndpoint(target.address, target.port);
    const forward = new HostForward(protocol, { local: named, remote }, listening, (one) => this.#forget(one));
    this.#forwards.set(keyOf(forward), forward);
    return forward;
  }

  /** Takes in a forward that was made elsewhere. Throws ForwardError when its key is taken; then it stays the caller's. */
  add(forward: Forward): void {
    if (typeof forward?.close !== 'function')
      throw new ArgumentError('add wants a forward that can be closed; expose makes one of a request');
    const key = this.#reserve(forward);
    this.#reserved.delete(key);
    this.#forwards.set(key, forward);
  }

  /** Stops listening; see HostForward.close for what goes on. Throws ForwardError when there is no such forward. */
  unexpose(protocol: string, local: string): void {
    const key = keyOf({ protocol, local });
    const forward = this.#forwards.get(key);
    if (forward === undefined) throw new ForwardError('not-found', 'proxy not found');
    this.#forwards.delete(key);
    forward.close();
  }

  /** By local, then protocol, in the order of bytes; the texts as they were given. */
  list(): Forward[] {
    return [...this.#forwards.values()].toSorted((a, b) => compare(a.local, b.local) || compare(a.protocol, b.protocol));
  }

  #checkGoingOn(signal: AbortSignal | undefined): void {
    if (this.#closed) throw NetworkError.closed();
    signal?.throwIfAborted();
  }

  #checkRoom(): void {
    if (this.#forwards.size + this.#reserved.size < this.#limit) return;
    throw new ForwardError('limit', `too many forwards: there are ${this.#limit} already, and one must be unexposed before another`);
  }

  /** Throws ForwardError when the key is taken or being taken, or there are too many. */
  #reserve(request: Pick<ForwardRequest, 'protocol' | 'local'>): string {
    if (this.#closed) throw NetworkError.closed();
    checkObject(request, 'a forward');
    const { protocol, local } = request;
    const key = keyOf({ protocol, local });
    if (this.#forwards.has(key) || this.#reserved.has(key)) {
      throw new ForwardError('conflict', `proxy already running for ${protocol} on ${local}`);
    }
    this.#checkRoom();
    this.#reserved.add(key);
    return key;
  }

  async #prepare(request: ForwardRequest): Promise<Open> {
    for (const key of ['protocol', 'local', 'remote'] as const) {
      if (typeof request[key] !== 'string') throw new ArgumentError(`${key} of a forward wants text, not ${String(request[key])}`);
    }
    const { protocol } = request;
    if (protocol === 'tcp' || protocol === 'udp') return this.#preparePort(protocol, request);
    if (protocol === 'unix') return this.#prepareUnix(request);
    if (protocol === 'npipe') throw new ForwardError('unsupported', 'named pipes are not supported by this platform');
    throw new ForwardError('unsupported', `unknown protocol ${protocol}`);
  }

  async #preparePort(protocol: 'tcp' | 'udp', request: ForwardRequest): Promise<Open> {
    const target = parseRemote(request.remote, this.#whyNoGuest);
    const { host, port } = parseLocal(protocol, request.local);
    const address = await resolveLocal(protocol, host);
    const listen = protocol === 'tcp' ? listenTcp : listenUdp;
    return () => {
      try {
        return new HostForward(protocol, request, listen(this.#world, address, port, target), (one) => this.#forget(one));
      } catch (error) {
        throw bindError(protocol, hostPort(host, address, port), error);
      }
    };
  }

  #prepareUnix(request: ForwardRequest): Open {
    const { local, remote } = request;
    const parsed = parseUnixRemote(remote, this.#whyNoGuest);
    if (parsed.kind === 'tcp') {
      return () => {
        try {
          return new HostForward('unix', request, listenUnix(this.#world, local, parsed.target), (one) => this.#forget(one));
        } catch (error) {
          throw bindError('unix', local, error);
        }
      };
    }
    const open = this.openSshTunnel;
    if (open === null) throw new ForwardError('unsupported', `remote protocol for unix forwarder is not implemented: ssh-tunnel`);
    return () => open(local, remote);
  }

  #forget(forward: Forward): void {
    const key = keyOf(forward);
    if (this.#forwards.get(key) === forward) this.#forwards.delete(key);
  }

  /** Ends all of them, and refuses others. */
  close(): void {
    this.#closed = true;
    for (const forward of [...this.#forwards.values()]) forward.close();
    this.#forwards.clear();
  }
}

/** No protocol has a colon in it; a local may have. */
function keyOf({ protocol, local }: Pick<ForwardRequest, 'protocol' | 'local'>): string {
  return `${protocol}:${local}`;
}

function compare(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
