/** `/v1/events`: what happens, as server-sent events (HTML standard §9.2). */
import type { LinkKind } from '../../network.ts';
import { createRoute, z } from '@hono/zod-openapi';
import type { V1App } from './app.ts';
import { ApiError, errorResponses } from './errors.ts';
import { EVENT_KINDS, EventHub, type EventKind, SUBSCRIBER_LIMIT, type Subscriber } from './event-hub.ts';
import { flowSchema } from './flow-schema.ts';
import type { V1Network } from './subject.ts';

/** Milliseconds: proxies end connections on which nothing is sent. */
export const HEARTBEAT = 15_000;
/** Milliseconds after which browsers connect again. */
const RETRY = 2000;

const query = z.strictObject({
  kinds: z
    .string()
    .max(256)
    .transform((text, context) => {
      const kinds = text.split(',');
      const unknown = kinds.find((kind) => !(EVENT_KINDS as readonly string[]).includes(kind));
      if (unknown === undefined) return kinds as EventKind[];
      context.addIssue(`there is no kind of event ${JSON.stringify(unknown)}; want some of ${EVENT_KINDS.join(', ')}`);
      return z.NEVER;
    })
    .optional()
    .openapi({ type: 'string', description: 'Kinds of events, with commas between. Default: all.', example: 'lease,flow-opened' }),
});

const port = z.number().int();
const link = z.enum(['qemu', 'bess', 'vfkit', 'vpnkit', 'stdio', 'dgram', 'tap', 'fd', 'socket'] satisfies LinkKind[]);
/** What `data` of each event is. */
const eventSchemas = z
  .object({
    'port-attached': z.object({ port, name: z.string(), link }),
    'port-detached': z.object({ port, name: z.string(), link, reason: z.string() }),
    station: z.object({ mac: z.string(), port }),
    'station-gone': z.object({ mac: z.string(), port }),
    lease: z.object({ address: z.string(), mac: z.string() }),
    'flow-opened': flowSchema,
    'flow-closed': flowSchema,
    drops: z.object({ drops: z.array(z.object({ counter: z.string(), count: z.number().int() })) }),
    lost: z.object({ lost: z.number().int() }),
  })
  .openapi('Events', { description: 'By the name of the event, what its data is. lost: so many events were too many for this stream.' });

const events = createRoute({
  method: 'get',
  path: '/v1/events',
  summary: 'What happens, as it happens',
  request: { query },
  responses: {
    ...errorResponses('invalid-request', 'too-many-subscribers'),
    200: {
      description: 'Server-sent events without ids; data is JSON, see Events. A comment comes every 15 seconds.',
      content: { 'text/event-stream': { schema: z.string() } },
    },
  },
});

export function eventRoutes(app: V1App, network: V1Network): EventHub {
  const hub = new EventHub(network);
  app.openAPIRegistry.register('Events', eventSchemas);
  app.openapi(events, (c) => {
    const { kinds = EVENT_KINDS } = c.req.valid('query');
    const headers = { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store', 'X-Accel-Buffering': 'no' };
    if (c.req.method === 'HEAD') return c.body(null, 200, headers);
    const subscriber = hub.subscribe(new Set(kinds));
    if (subscriber === null) {
      throw new ApiError('too-many-subscribers', `there are ${SUBSCRIBER_LIMIT} event streams already`, { 'Retry-After': '10' });
    }
    c.env?.lift?.();
    return c.body(
      stream(subscriber, () => hub.unsubscribe(subscriber)),
      200,
      headers,
    );
  });
  return hub;
}

/** Pulled by whoever sends it: while the client takes nothing, nothing is taken from the queue. */
function stream(subscriber: Subscriber, ended: () => void): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  const beat = setInterval(() => subscriber.beat(), HEARTBEAT).unref();
  let isFirst = true;
  return new ReadableStream(
    {
      async pull(controller) {
        // At once, so that the client knows that it is heard.
        const text = isFirst ? `retry: ${RETRY}\n\n` : await subscriber.take();
        isFirst = false;
        controller.enqueue(encoder.encode(text));
      },
      cancel() {
        clearInterval(beat);
        ended();
      },
    },
    { highWaterMark: 0 },
  );
}
