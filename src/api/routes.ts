/** What is where, and what it answers (contract §13.1). */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { VirtualNetwork } from '../network.ts';
import type { Origin } from './access.ts';
import { addZone, listZones } from './dns.ts';
import { expose, type ForwardRegistry, listForwards, RequestError, unexpose } from './forwarder.ts';
import { CONNECT, CONNECT_OFFERS, parseConnect, parseTunnel, TUNNEL, VNET_HEADERS } from './hijack.ts';
import type { Target } from './path.ts';
import { profile, PROFILES } from './profile.ts';
import { send, sendEmpty, sendJson } from './reply.ts';
import { FORWARD_BODY, readBody, ZONE_BODY } from './request-body.ts';
import { stats } from './stats.ts';

/** What the API shows and changes. */
export type ApiNetwork = Pick<
  VirtualNetwork,
  'addresses' | 'dial' | 'attachSocket' | 'stations' | 'leases' | 'zones' | 'counters' | 'bytesSent' | 'bytesReceived'
>;

export interface RouteContext {
  readonly network: ApiNetwork;
  readonly forwards: ForwardRegistry;
}

export interface ApiRequest {
  readonly request: IncomingMessage;
  readonly target: Target;
  /** IP address of who asks; undefined over a unix socket. */
  readonly client: string | undefined;
}

interface Route {
  readonly where: readonly Origin[];
  /** Any other method is an error. */
  readonly post?: true;
  /** Changes something. */
  readonly write?: true;
  handle(context: RouteContext, request: ApiRequest, response: ServerResponse): void | Promise<void>;
}

const HOST: readonly Origin[] = ['listen', 'services'];
const EVERYWHERE: readonly Origin[] = ['listen', 'services', 'guest'];

/** Answers with one value. */
function json(where: readonly Origin[], value: (context: RouteContext) => unknown): Route {
  return { where, handle: (context, _request, response) => sendJson(response, value(context)) };
}

/** Takes a body of `limit` bytes at most, and answers with nothing when it went well. */
function change(
  where: readonly Origin[],
  limit: number,
  run: (context: RouteContext, body: string, client: string | undefined) => void | Promise<void>,
): Route {
  return {
    where,
    post: true,
    write: true,
    async handle(context, { request, client }, response) {
      await run(context, await readBody(request, limit), client);
      sendEmpty(response);
    },
  };
}

const leases: Route = json(HOST, ({ network }) => sorted(network.leases));

const ROUTES: Readonly<Record<string, Route>> = {
  [CONNECT]: {
    where: ['listen'],
    handle(_context, { target }) {
      const connect = parseConnect(target.query);
      throw 'status' in connect ? new RequestError(connect.status, connect.text) : notFirst(CONNECT);
    },
  },
  // Here and not with the rest below /v1/: every gvforwarder asks, and those libraries take long to load.
  [CONNECT_OFFERS]: {
    where: ['listen'],
    handle: (_context, _request, response) =>
      send(response, 200, { 'Content-Type': 'application/json' }, JSON.stringify({ vnet_hdr: VNET_HEADERS })),
  },
  [TUNNEL]: {
    where: HOST,
    handle({ network }, { target }) {
      const tunnel = parseTunnel(target.query, network.addresses.subnet6 !== undefined);
      throw 'status' in tunnel ? new RequestError(tunnel.status, tunnel.text) : notFirst(TUNNEL);
    },
  },
  '/stats': json(HOST, ({ network }) => stats(network)),
  '/cam': json(HOST, ({ network }) => sorted(network.stations)),
  '/leases': leases,
  '/services/dhcp/leases': leases,
  '/services/dns/all': json(HOST, ({ network }) => listZones(network.zones.list())),
  '/services/dns/add': change(HOST, ZONE_BODY, ({ network }, body) => addZone(network.zones, body)),
  '/services/forwarder/all': json(EVERYWHERE, ({ forwards }) => listForwards(forwards)),
  '/services/forwarder/expose': change(EVERYWHERE, FORWARD_BODY, ({ forwards }, body, client) => expose(forwards, body, client)),
  '/services/forwarder/unexpose': change(EVERYWHERE, FORWARD_BODY, ({ forwards }, body) => unexpose(forwards, body)),
};

const DEBUG: Route = { where: ['listen'], handle: (_context, { target }, response) => profile(response, target) };

/** Undefined where there is nothing. */
export function findRoute(path: string, origin: Origin, debug: boolean): Route | undefined {
  const route = Object.hasOwn(ROUTES, path) ? ROUTES[path] : debug && path.startsWith(PROFILES) ? DEBUG : undefined;
  return route?.where.includes(origin) === true ? route : undefined;
}

/** Its answer is no HTTP, and what the client has sent behind it may have been read as HTTP. */
function notFirst(path: string): RequestError {
  return new RequestError(400, `${path} takes its connection over and must be the first request of it: open another connection`);
}

/** Go writes a map in the order of its keys. */
function sorted(map: ReadonlyMap<string, unknown>): unknown {
  return Object.fromEntries([...map].toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
