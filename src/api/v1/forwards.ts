/** `/v1/forwards`: ports and unix sockets of the host that lead to guests. */
import { createRoute, z } from '@hono/zod-openapi';
import type { V1App } from './app.ts';
import { ApiError, type ErrorCode, errorResponses } from './errors.ts';
import { jsonBody } from './json-body.ts';
import { expandLocal, expandRanges, FORWARDS_PER_REQUEST } from './port-ranges.ts';
import type { ForwardErrorCode, ForwardInfo, ForwardRegistry, ForwardRequest } from './subject.ts';

const protocol = z.enum(['tcp', 'udp', 'unix']);
const local = z.string().min(1).max(1024).openapi({
  description: "host:port on the host, where port 0 is any free one and 8000-8010 is a range; for unix the socket's path.",
  example: '127.0.0.1:8080',
});
const remote = z.string().min(1).max(1024).openapi({
  description: 'ip:port of a guest, or a range as long as that of local; for unix tcp://ip:port or ssh-tunnel://….',
  example: '192.168.127.2:80',
});

const requestSchema = z.strictObject({ protocol: protocol.default('tcp'), local, remote }).openapi('ForwardRequest');
const keySchema = z.strictObject({ protocol: protocol.default('tcp'), local }).openapi('ForwardKey');
const requests = z.union([requestSchema, z.array(requestSchema).min(1).max(FORWARDS_PER_REQUEST)]);
const keys = z.union([keySchema, z.array(keySchema).min(1).max(FORWARDS_PER_REQUEST)]);
const forwardSchema = z
  .object({
    protocol: z.string(),
    local: z.string(),
    remote: z.string(),
    boundPort: z.number().int().optional().openapi({ description: "The host's port: of interest when port 0 was asked for." }),
  })
  .openapi('Forward');
const listSchema = z.object({ forwards: z.array(forwardSchema) });
const parameters = z.object({
  protocol: z.string(),
  local: z.string().openapi({ description: 'As it was given, percent-encoded.', example: '127.0.0.1:8080' }),
});

const list = createRoute({
  method: 'get',
  path: '/v1/forwards',
  summary: 'All forwards',
  responses: { 200: { description: 'In order of local, then protocol.', content: { 'application/json': { schema: listSchema } } } },
});
const create = createRoute({
  method: 'post',
  path: '/v1/forwards',
  summary: 'Make one forward, several, or a range: all of them or none',
  middleware: jsonBody,
  request: { body: { required: true, content: { 'application/json': { schema: requests } } } },
  responses: {
    ...errorResponses('bad-json', 'invalid-request', 'invalid-address', 'invalid-range', 'forward-exists', 'body-too-large'),
    ...errorResponses('unsupported-media-type', 'bind-failed', 'forward-unsupported'),
    201: { description: 'What was made, in the order asked for.', content: { 'application/json': { schema: listSchema } } },
  },
});
const removeSeveral = createRoute({
  method: 'delete',
  path: '/v1/forwards',
  summary: 'Remove one forward, several, or a range: all of them or none',
  middleware: jsonBody,
  request: { body: { required: true, content: { 'application/json': { schema: keys } } } },
  responses: {
    ...errorResponses('bad-json', 'invalid-request', 'invalid-range', 'no-such-forward', 'body-too-large', 'unsupported-media-type'),
    204: { description: 'They are gone; connections that there are go on.' },
  },
});
const show = createRoute({
  method: 'get',
  path: '/v1/forwards/{protocol}/{local}',
  summary: 'One forward',
  request: { params: parameters },
  responses: {
    ...errorResponses('no-such-forward'),
    200: { description: 'The forward.', content: { 'application/json': { schema: forwardSchema } } },
  },
});
const remove = createRoute({
  method: 'delete',
  path: '/v1/forwards/{protocol}/{local}',
  summary: 'Remove one forward',
  request: { params: parameters },
  responses: { ...errorResponses('no-such-forward'), 204: { description: 'It is gone; connections that there are go on.' } },
});

export function forwardRoutes(app: V1App, registry: ForwardRegistry): void {
  app.openapi(list, (c) => c.json({ forwards: registry.list().map(plain) }, 200));

  app.openapi(create, async (c) => {
    const wanted = expandRanges([c.req.valid('json')].flat());
    const made = await exposeAll(registry, wanted);
    if (made.length === 1) c.header('Location', pathOf(made[0]!));
    return c.json({ forwards: made.map(plain) }, 201);
  });

  app.openapi(removeSeveral, (c) => {
    const wanted = [c.req.valid('json')]
      .flat()
      .flatMap((key) => expandLocal(key.protocol, key.local).map((one) => ({ ...key, local: one })));
    // One pass over the list, however many are asked for. Nothing happens between looking and removing.
    const known = new Set(registry.list().map(keyOf));
    for (const key of wanted) if (!known.has(keyOf(key))) throw noSuchForward(key);
    for (const key of new Map(wanted.map((each) => [keyOf(each), each])).values()) unexpose(registry, key.protocol, key.local);
    return c.body(null, 204);
  });

  app.openapi(show, (c) => {
    const key = c.req.valid('param');
    const found = registry.list().find((forward) => keyOf(forward) === keyOf(key));
    if (found === undefined) throw noSuchForward(key);
    return c.json(plain(found), 200);
  });

  app.openapi(remove, (c) => {
    const key = c.req.valid('param');
    unexpose(registry, key.protocol, key.local);
    return c.body(null, 204);
  });
}

type Key = Pick<ForwardRequest, 'protocol' | 'local'>;

function keyOf({ protocol, local }: Key): string {
  return `${protocol}:${local}`;
}

function noSuchForward({ protocol, local }: Key): ApiError {
  return new ApiError('no-such-forward', `there is no forward of ${protocol} on ${local}`);
}

function pathOf({ protocol, local }: ForwardInfo): string {
  return `/v1/forwards/${protocol}/${encodeURIComponent(local)}`;
}

function plain({ protocol, local, remote, boundPort }: ForwardInfo): z.infer<typeof forwardSchema> {
  return boundPort === undefined ? { protocol, local, remote } : { protocol, local, remote, boundPort };
}

/** What the registry's codes are called here. */
const CODES: Readonly<Record<ForwardErrorCode, ErrorCode>> = {
  remote: 'invalid-address',
  address: 'invalid-address',
  conflict: 'forward-exists',
  bind: 'bind-failed',
  unsupported: 'forward-unsupported',
  'not-found': 'no-such-forward',
};

function translated(error: unknown): unknown {
  if (!(error instanceof Error) || !('code' in error)) return error;
  const code = (CODES as Readonly<Record<string, ErrorCode>>)[String(error.code)];
  return code === undefined ? error : new ApiError(code, error.message);
}

async function exposeAll(registry: ForwardRegistry, requests: readonly ForwardRequest[]): Promise<readonly ForwardInfo[]> {
  try {
    return await registry.exposeAll(requests);
  } catch (error) {
    throw translated(error);
  }
}

function unexpose(registry: ForwardRegistry, protocol: string, local: string): void {
  try {
    registry.unexpose(protocol, local);
  } catch (error) {
    const known = translated(error);
    throw known instanceof ApiError && known.code === 'no-such-forward' ? noSuchForward({ protocol, local }) : known;
  }
}
