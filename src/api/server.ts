/** One listener's connections: limits, take-over, and Node's HTTP parser for the rest (contract §13.2, §20). */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type AccessRules, type GuestAccess, refusal } from './access.ts';
import { Deadline } from './deadline.ts';
import { RequestError } from './forwarder.ts';
import { JsonError } from './go-json.ts';
import { CONNECT, type ConnectTarget, connectVm, parseConnect, parseTunnel, tunnel, TUNNEL, type TunnelTarget } from './hijack.ts';
import { cleanPath, parseTarget, type Target } from './path.ts';
import { PROFILES } from './profile.ts';
import { closingResponse, send, sendError } from './reply.ts';
import { BodyTooLarge } from './request-body.ts';
import { HEAD_LIMIT, readHead, type RequestHead } from './request-head.ts';
import { findRoute, type RouteContext } from './routes.ts';

/** Requests below `/v1/`, for another handler. */
export interface V1 {
  /** `lift` takes the time limit from the connection, for an answer that lasts. */
  handle(request: IncomingMessage, response: ServerResponse, lift: () => void): void;
}

export interface ServerOptions extends RouteContext {
  readonly rules: AccessRules;
  readonly guests: GuestAccess;
  /** `/debug/pprof/` is there. */
  readonly debug: boolean;
  readonly v1: V1 | undefined;
  /** Connections at once that speak HTTP; those that were taken over don't count. */
  readonly limit: number;
  /** What went wrong that no client is told, for the log. */
  readonly failed: (text: string) => void;
  /** Milliseconds; see Deadline. */
  readonly timeout?: number | undefined;
}

interface Conversation {
  readonly client: string | undefined;
  readonly deadline: Deadline;
  /** Requests that are not answered. */
  unanswered: number;
  /** Resolves when what came before is answered, and others had a turn. */
  turn: Promise<void>;
}

/** Requests that may wait for the answers of those before them. */
const PIPELINED = 32;

/** HTTP/1.1 wants one `Host`, which may be empty (RFC 9112 §3.2). */
function hostFault(isHttp11: boolean, hosts: number): string | undefined {
  if (hosts > 1) return 'too many Host headers';
  return isHttp11 && hosts === 0 ? 'missing required Host header' : undefined;
}

/** Milliseconds for the one answer to a connection there is no room for. */
const FAREWELL = 100;

/** Says that there are too many connections, and ends this one. */
export function turnAway(connection: Duplex): void {
  connection.on('error', () => {});
  connection.end(closingResponse(503, 'too many connections'));
  connection.resume();
  // oxlint-disable-next-line no-new -- it lives as long as the connection
  new Deadline(connection, FAREWELL);
}

export class ApiServer {
  readonly #options: ServerOptions;
  readonly #http: Server;
  /** All of them; those that are counted have a conversation. */
  readonly #connections: Set<Duplex> = new Set();
  readonly #conversations: Map<Duplex, Conversation> = new Map();
  /** Paths that are taken over here. */
  readonly #taken: readonly string[];

  constructor(options: ServerOptions) {
    this.#options = options;
    const { origin } = options.rules;
    this.#taken = origin === 'listen' ? [CONNECT, TUNNEL] : origin === 'services' ? [TUNNEL] : [];
    // Node's own time limits know neither streams of guests nor requests that are cut at ten seconds whatever they do.
    const limits = { headersTimeout: 0, requestTimeout: 0, keepAliveTimeout: 0, maxHeaderSize: HEAD_LIMIT };
    this.#http = createServer({ ...limits, requireHostHeader: false }, (request, response) => void this.#answer(request, response));
    this.#http.on('clientError', (error: NodeJS.ErrnoException, socket) => {
      if (error.code === 'ECONNRESET' || !socket.writable) socket.destroy();
      else socket.end(closingResponse(error.code === 'HPE_HEADER_OVERFLOW' ? 431 : 400));
    });
    this.#http.on('connect', (_request, socket: Duplex) => socket.end(closingResponse(404)));
  }

  /** A client has connected. `client`: its IP address; undefined over a unix socket. `name` is for the log. */
  accept(connection: Duplex, client: string | undefined, name: string): void {
    // Whoever reads or writes hears of it; here only: it must not end the process.
    connection.on('error', () => {});
    if (this.#conversations.size >= this.#options.limit) {
      turnAway(connection);
      return;
    }
    const deadline = new Deadline(connection, this.#options.timeout);
    const conversation = { client, deadline, unanswered: 0, turn: Promise.resolve() };
    this.#connections.add(connection);
    this.#conversations.set(connection, conversation);
    connection.once('close', () => {
      this.#connections.delete(connection);
      this.#conversations.delete(connection);
    });
    if (this.#taken.length === 0) return void this.#http.emit('connection', connection);
    readHead(
      connection,
      this.#taken,
      (head, rest) => this.#takeOver(connection as Socket, conversation, head, rest, name),
      (bytes) => this.#toParser(connection, bytes),
    );
  }

  /** Or back to the parser, where the request is answered as any other that is refused. */
  #takeOver(socket: Socket, { deadline }: Conversation, head: RequestHead, rest: Buffer, name: string): void {
    const target = this.#hijacked(head);
    if (target === undefined) return this.#toParser(socket, Buffer.concat([head.bytes, rest]));
    deadline.lift();
    this.#conversations.delete(socket);
    const { network, failed } = this.#options;
    if ('vnetHeader' in target) {
      try {
        connectVm(network, socket, rest, name, target);
      } catch (error) {
        failed(`cannot attach ${name}: ${(error as Error).message}`);
        socket.destroy();
      }
      return;
    }
    tunnel(network, socket, rest, target).catch((error: unknown) => failed(`cannot dial: ${(error as Error).message}`));
  }

  #hijacked({ target, headers, hosts, isHttp11 }: RequestHead): TunnelTarget | ConnectTarget | undefined {
    if (hostFault(isHttp11, hosts) !== undefined || refusal(headers, this.#options.rules) !== undefined) return undefined;
    if (target.escaped !== cleanPath(target.escaped)) return undefined;
    const hasIpv6 = this.#options.network.addresses.subnet6 !== undefined;
    const parsed = target.path === CONNECT ? parseConnect(target.query) : parseTunnel(target.query, hasIpv6);
    return 'status' in parsed ? undefined : parsed;
  }

  #toParser(connection: Duplex, bytes: Buffer): void {
    if (connection.destroyed) return;
    if (bytes.length > 0) connection.unshift(bytes);
    this.#http.emit('connection', connection);
    connection.resume();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const conversation = this.#conversations.get(request.socket);
    if (conversation === undefined) return void request.socket.destroy();
    // Node reads everything that is there, and hands all of it over at once.
    if (request.socket.destroyed) return;
    if (++conversation.unanswered > PIPELINED) return void request.socket.destroy();
    const { turn } = conversation;
    conversation.turn = new Promise((resolve) => {
      response.once('close', () => {
        conversation.unanswered--;
        setImmediate(resolve);
      });
    });
    await turn;
    if (request.socket.destroyed) return;
    conversation.deadline.renew();
    response.once('finish', () => conversation.deadline.renew());
    try {
      await this.#route(request, response, conversation);
    } catch (error) {
      if (response.headersSent || response.destroyed) return void response.destroy();
      if (error instanceof RequestError) return sendError(response, error.status, error.message);
      if (error instanceof JsonError) return sendError(response, 400, error.message);
      if (error instanceof BodyTooLarge) {
        response.shouldKeepAlive = false;
        return sendError(response, 413, error.message);
      }
      if (request.destroyed && !request.complete) return;
      const { message } = error as Error;
      this.#options.failed(`cannot answer ${request.method} ${request.url}: ${message}`);
      sendError(response, 500, message);
    }
  }

  async #route(request: IncomingMessage, response: ServerResponse, { client, deadline }: Conversation): Promise<void> {
    const { rules, guests, debug, v1 } = this.#options;
    const fault = hostFault(
      request.httpVersion === '1.1',
      request.rawHeaders.filter((text, i) => i % 2 === 0 && text.toLowerCase() === 'host').length,
    );
    if (fault !== undefined) return this.#refuseHead(response, fault);
    const target = parseTarget(request.url ?? '');
    if (target === undefined) return this.#refuseHead(response, '');
    const refused = refusal(request.headers, rules);
    if (refused !== undefined) {
      if (refused.status === 401) response.setHeader('Www-Authenticate', 'Bearer');
      return sendError(response, refused.status, refused.text);
    }
    const clean = cleanPath(target.escaped);
    if (clean !== target.escaped) return redirect(request, response, clean, target);
    if (debug && `${target.path}/` === PROFILES && rules.origin === 'listen') return redirect(request, response, PROFILES, target);
    const route = findRoute(target.path, rules.origin, debug);
    if (route === undefined && v1 !== undefined && rules.origin !== 'guest' && /^\/v1(?:\/|$)/.test(target.path)) {
      return v1.handle(request, response, () => deadline.lift());
    }
    if (route === undefined) return sendError(response, 404, '404 page not found');
    if (route.post === true && request.method !== 'POST') return sendError(response, 400, 'post only');
    if (route.write === true && rules.origin === 'guest' && guests === 'read-only') {
      return sendError(response, 403, 'guests may look at forwards, not change them');
    }
    await route.handle(this.#options, { request, target, client }, response);
  }

  /** As Go's server answers a head that makes no sense: and that is the end. */
  #refuseHead(response: ServerResponse, reason: string): void {
    const text = `400 Bad Request${reason === '' ? '' : `: ${reason}`}`;
    response.shouldKeepAlive = false;
    send(response, 400, { 'Content-Type': 'text/plain; charset=utf-8' }, text);
  }

  /** Ends every connection, those taken over by tunnels too. */
  close(): void {
    this.#http.close();
    for (const connection of [...this.#connections]) connection.destroy();
  }
}

/** Go's mux: 301 whatever the method, and a word of HTML for those who asked with GET or HEAD. */
function redirect(request: IncomingMessage, response: ServerResponse, path: string, { search }: Target): void {
  const location = `${path}${search === '?' ? '' : search}`;
  const isGet = request.method === 'GET' || request.method === 'HEAD';
  const escaped = location
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&#34;')
    .replaceAll("'", '&#39;');
  const headers = isGet ? { 'Content-Type': 'text/html; charset=utf-8', Location: location } : { Location: location };
  send(response, 301, headers, isGet ? `<a href="${escaped}">Moved Permanently</a>.\n\n` : '');
}
