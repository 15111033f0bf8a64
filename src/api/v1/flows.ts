/** `/v1/flows`: the conversations of guests. */
import { createRoute, z } from '@hono/zod-openapi';
import type { V1App } from './app.ts';
import type { FlowFilter } from '../../flow/flow-list.ts';
import { IpAddress } from '../../packet/address.ts';
import { ApiError, errorResponses } from './errors.ts';
import { flowSchema, stateSchema } from './flow-schema.ts';
import type { V1Network } from './subject.ts';

const PAGE = 100;
const PAGE_LIMIT = 1000;

/** Digits only: of numbers such as 0x50, 5e1 or the empty text it must not be guessed what was meant. */
function whole(least: number, most: number): z.ZodType<number> {
  const inRange = z.number().int().min(least).max(most);
  return z
    .string()
    .regex(/^\d{1,9}$/, 'want a whole number')
    .transform(Number)
    .pipe(inRange)
    .openapi({ type: 'integer', minimum: least, maximum: most });
}

const address = z
  .string()
  .max(64)
  .transform((text, context) => {
    const parsed = IpAddress.parse(text);
    if (parsed !== undefined) return parsed;
    context.addIssue(`${JSON.stringify(text)} is no IP address`);
    return z.NEVER;
  })
  .openapi({ type: 'string', example: '192.168.127.2' });

const query = z.strictObject({
  protocol: z.enum(['tcp', 'udp']).optional(),
  state: stateSchema.optional().openapi({ description: 'Leaves TCP flows only.' }),
  direction: z.enum(['outbound', 'inbound']).optional(),
  guest: address.optional(),
  guestPort: whole(1, 65_535).optional(),
  remote: address.optional().openapi({ description: 'As the guest sees it: before NAT.' }),
  remotePort: whole(1, 65_535).optional(),
  port: whole(0, 999_999_999).optional().openapi({ description: "Id of a VM's port." }),
  limit: whole(1, PAGE_LIMIT)
    .optional()
    .openapi({ description: `Default ${PAGE}.` }),
  cursor: z.string().max(32).optional().openapi({ description: 'next of the page before.' }),
});
const pageSchema = z.object({
  flows: z.array(flowSchema),
  next: z.string().nullable().openapi({ description: 'cursor of the next page; null: this is the last.' }),
});
const parameters = z.object({ id: z.string().openapi({ example: 'tcp-17' }) });

const list = createRoute({
  method: 'get',
  path: '/v1/flows',
  summary: 'Conversations of guests, in pages',
  request: { query },
  responses: {
    ...errorResponses('invalid-request'),
    200: {
      description: 'TCP first, each in the order in which they began. Flows that begin while pages are fetched come last.',
      content: { 'application/json': { schema: pageSchema } },
    },
  },
});
const show = createRoute({
  method: 'get',
  path: '/v1/flows/{id}',
  summary: 'One conversation',
  request: { params: parameters },
  responses: {
    ...errorResponses('no-such-flow'),
    200: { description: 'As of now.', content: { 'application/json': { schema: flowSchema } } },
  },
});
const end = createRoute({
  method: 'delete',
  path: '/v1/flows/{id}',
  summary: 'End a conversation: TCP is reset on both sides, UDP is forgotten and begins anew with the next datagram',
  request: { params: parameters },
  responses: { ...errorResponses('no-such-flow'), 204: { description: 'It has ended.' } },
});

export function flowRoutes(app: V1App, { flows }: V1Network): void {
  app.openapi(list, (c) => {
    const { limit = PAGE, cursor, ...filter } = c.req.valid('query');
    const page = flows.page(filter satisfies FlowFilter, limit, cursor);
    if (page === undefined) throw new ApiError('invalid-request', `the cursor ${JSON.stringify(cursor)} is not one of a page`);
    return c.json({ flows: page.flows, next: page.next ?? null }, 200);
  });

  app.openapi(show, (c) => {
    const { id } = c.req.valid('param');
    const flow = flows.get(id);
    if (flow === undefined) throw noSuchFlow(id);
    return c.json(flow, 200);
  });

  app.openapi(end, (c) => {
    const { id } = c.req.valid('param');
    if (!flows.end(id)) throw noSuchFlow(id);
    return c.body(null, 204);
  });
}

function noSuchFlow(id: string): ApiError {
  return new ApiError('no-such-flow', `there is no flow ${JSON.stringify(id)}`);
}
