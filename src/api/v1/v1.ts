/**
 * The HTTP API below `/v1/`: JSON in and out, errors with a code and advice, described by `/v1/openapi.json`. Who may ask is decided
 * by the server in front of it (see `isWrite`). To be loaded when it is first asked for: it takes its libraries with it.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { getRequestListener } from '@hono/node-server';
import { createRoute, OpenAPIHono, z } from '@hono/zod-openapi';
import { isWrite } from './access.ts';
import type { RequestBindings, V1App } from './app.ts';
import { captureRoutes } from './capture.ts';
import { dnsRoutes } from './dns.ts';
import { ApiError, describeIssues } from './errors.ts';
import { eventRoutes } from './events.ts';
import { flowRoutes } from './flows.ts';
import { forwardRoutes } from './forwards.ts';
import { listingRoutes } from './listings.ts';
import type { V1 } from '../server.ts';
import type { ForwardRegistry, V1Network } from './subject.ts';

export interface V1Options {
  /** Of guestwire. */
  readonly version: string;
  /** What went wrong that no client is told, for the log. */
  readonly failed?: (text: string) => void;
  /** Whether clients may see the VMs' frames. Default true. */
  readonly captures?: boolean;
}

export interface V1Api extends V1 {
  /** Answers a request for `/v1/…`. Never throws. */
  handle(request: IncomingMessage, response: ServerResponse, lift?: () => void): void;
  /** As `handle`, for a program that has no connection. */
  fetch(request: Request): Promise<Response>;
}

const rootSchema = z
  .object({
    name: z.string(),
    version: z.string(),
    addresses: z
      .object({
        ...{ subnet: z.string(), gatewayIP: z.ipv4(), deviceIP: z.ipv4(), hostIP: z.ipv4() },
        ipv4: z.literal(false).optional().openapi({ description: 'There when guests have IPv6 alone.' }),
        ...{
          subnet6: z.string().optional(),
          gatewayIP6: z.ipv6().optional(),
          deviceIP6: z.ipv6().optional(),
          hostIP6: z.ipv6().optional(),
        },
      })
      .openapi({
        description: "Of the network; deviceIP: the first VM's, hostIP: the host's loopback; with a 6 those of IPv6, where guests have it.",
      }),
    links: z.record(z.string(), z.string()),
  })
  .openapi('Root');
const root = createRoute({
  method: 'get',
  path: '/v1/',
  summary: 'What this is, and what there is',
  responses: { 200: { description: 'Paths by name.', content: { 'application/json': { schema: rootSchema } } } },
});

const LINKS = {
  forwards: '/v1/forwards',
  zones: '/v1/dns/zones',
  leases: '/v1/leases',
  stations: '/v1/stations',
  ports: '/v1/ports',
  flows: '/v1/flows',
  counters: '/v1/counters',
  events: '/v1/events',
  capture: '/v1/capture',
  openapi: '/v1/openapi.json',
};

export function createV1(network: V1Network, registry: ForwardRegistry, options: V1Options): V1Api {
  const { version, failed = () => {}, captures = true } = options;
  const app = new OpenAPIHono<{ Bindings: RequestBindings }>({
    defaultHook: (result) => {
      if (result.success) return;
      const what = { json: 'the body', query: 'the query', param: 'the path' }[result.target as string] ?? 'the request';
      throw new ApiError('invalid-request', describeIssues(result.error.issues, what));
    },
  });
  app.openapi(root, (c) => c.json({ name: 'guestwire', version, addresses: network.addresses, links: LINKS }, 200));
  forwardRoutes(app, registry);
  dnsRoutes(app, network.zones);
  listingRoutes(app, network);
  flowRoutes(app, network);
  eventRoutes(app, network);
  captureRoutes(app, network, captures);
  describeApi(app, version);
  answerOtherMethods(app);

  app.notFound((c) => {
    const { body, status } = new ApiError('not-found', `there is nothing at ${c.req.path}`);
    return c.json(body, status);
  });
  const answer = (error: unknown): ApiError => {
    if (error instanceof ApiError) return error;
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    failed(`cannot answer a request for /v1/: ${text}`);
    return new ApiError('internal', 'the request could not be answered');
  };
  app.onError((error, c) => {
    const { body, status, headers } = answer(error);
    return c.json(body, status, { ...headers });
  });

  const refuse = (error: unknown): Response => {
    const { body, status } = new ApiError('bad-request', error instanceof Error ? error.message : 'the request makes no sense');
    return Response.json(body, { status });
  };
  return {
    fetch: async (request) => app.fetch(request),
    handle(request, response, lift) {
      // Clients of unix sockets leave Host empty (contract §13.1); where it matters it was looked at by the server.
      const listener = getRequestListener((asked) => app.fetch(asked, { lift }), {
        hostname: 'localhost',
        overrideGlobalObjects: false,
        errorHandler: refuse,
      });
      listener(request, response).catch((error: unknown) => {
        answer(error);
        response.destroy();
      });
    },
  };
}

function describeApi(app: V1App, version: string): void {
  let text: string | undefined;
  const document = createRoute({
    method: 'get',
    path: '/v1/openapi.json',
    summary: 'This document',
    responses: { 200: { description: 'OpenAPI 3.1.', content: { 'application/json': { schema: z.record(z.string(), z.unknown()) } } } },
  });
  app.openAPIRegistry.registerPath(document);
  app.get('/v1/openapi.json', (c) => {
    text ??= JSON.stringify(withAccess(app.getOpenAPI31Document({ openapi: '3.1.0', info: { title: 'guestwire', version } })));
    return c.body(text, 200, { 'Content-Type': 'application/json' });
  });
}

/** Marks each operation with what the server in front asks `isWrite` for. */
function withAccess(document: object): object {
  const { paths } = document as { paths: Record<string, Record<string, object>> };
  for (const operations of Object.values(paths)) {
    for (const [method, operation] of Object.entries(operations))
      Object.assign(operation, { 'x-access': isWrite(method) ? 'write' : 'read' });
  }
  return document;
}

/** 405 with Allow, and OPTIONS, for every path that there is. Comes after all other routes. */
function answerOtherMethods(app: V1App): void {
  const methods = new Map<string, Set<string>>();
  for (const { path, method } of app.routes) {
    if (method === 'ALL') continue;
    const known = methods.get(path) ?? new Set(['OPTIONS']);
    known.add(method);
    if (method === 'GET') known.add('HEAD');
    methods.set(path, known);
  }
  for (const [path, known] of methods) {
    const allow = [...known].toSorted().join(', ');
    app.all(path, (c) => {
      if (c.req.method === 'OPTIONS') return c.body(null, 204, { Allow: allow });
      throw new ApiError('method-not-allowed', `${c.req.path} has no ${c.req.method}`, { Allow: allow });
    });
  }
}
