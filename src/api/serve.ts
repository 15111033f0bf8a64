/** Opens gvproxy's HTTP API: on the host's sockets, and for guests on port 80 of the gateway (contract §13.1). */
import type { Socket } from 'node:net';
import type { VirtualNetwork } from '../network.ts';
import type { Listener, Vm } from '../flow/listener.ts';
import { type GuestAccess, tokenDigest } from './access.ts';
import type { ForwardRegistry } from './forwarder.ts';
import { clientOf, nameOf, openServer } from './listen.ts';
import type { ApiNetwork } from './routes.ts';
import { ApiServer, turnAway, type V1 } from './server.ts';

/** HTTP connections at once: of one listener; of one guest; of all guests. */
const CONNECTION_LIMIT = 512;
const GUEST_LIMIT = 64;
const GUESTS_LIMIT = 512;
const HTTP_PORT = 80;

export interface ApiOptions {
  readonly network: ApiNetwork;
  readonly forwards: ForwardRegistry;
  /** Bearer token that guests must send, 32 characters or more (contract §19, #724). Default: none. */
  readonly apiToken?: string;
  /** The token is wanted on the host's side too. Default false: there file permissions and the loopback decide. */
  readonly apiTokenEverywhere?: boolean;
  /** Takes what the clients are not told, one line at a time. */
  readonly failed?: (text: string) => void;
  /** Milliseconds for a request, an answer, and between them. Default 10,000. */
  readonly timeout?: number;
}

export interface HostApiOptions extends ApiOptions {
  /** `unix://PATH`, `tcp://HOST:PORT`, `vsock://[CID]:PORT` or `fd:NUMBER`; port 0 is any free one (see openServer). */
  readonly url: string;
  /** Without `/connect` and `/debug/pprof/`: what `-services` offers. Default false. */
  readonly services?: boolean;
  /** With `/debug/pprof/`. Default false. */
  readonly debug?: boolean;
  /** Takes what is below `/v1/`. */
  readonly v1?: V1;
}

export interface ApiListener {
  /** What was bound: `unix:///run/api.sock`, `tcp://127.0.0.1:8080`, `vsock://2:1024`. */
  readonly address: string;
  /** Ends listening and every connection, and removes the socket's file. VMs that came through `/connect` stay. */
  close(): Promise<void>;
}

function common(options: ApiOptions): Pick<ConstructorParameters<typeof ApiServer>[0], 'network' | 'forwards' | 'failed' | 'timeout'> {
  const { network, forwards, failed = () => {}, timeout } = options;
  return { network, forwards, failed, timeout };
}

/**
 * Serves programs of the host. Rejects with SystemError, the resolver's error or TypeError when the URL can't be listened on
 * (see openServer), with RangeError for a token that is too short.
 */
export async function serveApi(options: HostApiOptions): Promise<ApiListener> {
  const { url, services = false, debug = false, v1, apiToken, apiTokenEverywhere = false } = options;
  const token = apiToken === undefined ? undefined : tokenDigest(apiToken);
  const waiting: Socket[] = [];
  let accept = (socket: Socket): void => void waiting.push(socket);
  const { server, address, host } = await openServer(url, (socket) => accept(socket));
  const api = new ApiServer({
    ...common(options),
    rules: {
      reachable: host !== undefined,
      name: host,
      token: apiTokenEverywhere ? token : undefined,
      origin: services ? 'services' : 'listen',
    },
    guests: 'full',
    debug,
    v1,
    limit: CONNECTION_LIMIT,
  });
  accept = (socket) => {
    if (host !== undefined) socket.setKeepAlive(true, 60_000);
    api.accept(socket, clientOf(socket), nameOf(socket));
  };
  waiting.splice(0).forEach((socket) => accept(socket));
  const close = async (): Promise<void> => {
    const closed = new Promise<void>((resolve) => void server.close(() => resolve()));
    api.close();
    await closed;
  };
  return { address, close };
}

export interface GuestApiOptions extends Omit<ApiOptions, 'network' | 'apiTokenEverywhere'> {
  readonly network: ApiNetwork & Pick<VirtualNetwork, 'listen'>;
  /** Default `full`, as gvproxy. */
  readonly guestApi?: GuestAccess;
}

/** Serves guests on port 80 of the gateway; null when they may not ask for anything. Throws when the port is taken, or RangeError for a token that is too short. */
export function serveGuests(options: GuestApiOptions): Listener | null {
  const { network, apiToken, guestApi = 'full' } = options;
  const token = apiToken === undefined ? undefined : tokenDigest(apiToken);
  if (guestApi === 'off') return null;
  const api = new ApiServer({
    ...common(options),
    rules: { reachable: true, name: undefined, token, origin: 'guest' },
    guests: guestApi,
    debug: false,
    v1: undefined,
    limit: GUESTS_LIMIT,
  });
  const connections: Map<Vm, number> = new Map();
  const listener = network.listen(HTTP_PORT, (connection, { address, port, vm }) => {
    const count = connections.get(vm) ?? 0;
    if (count >= GUEST_LIMIT) return turnAway(connection);
    connections.set(vm, count + 1);
    connection.once('close', () => {
      const left = connections.get(vm)! - 1;
      if (left === 0) connections.delete(vm);
      else connections.set(vm, left);
    });
    api.accept(connection, address.toString(), `${address.toString()}:${port}`);
  });
  return {
    close: () => {
      listener.close();
      api.close();
    },
  };
}
