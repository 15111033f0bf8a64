/** `/v1/capture`: the frames of VMs as they pass, as pcapng. */
import { createRoute, z } from '@hono/zod-openapi';
import type { V1App } from './app.ts';
import { ApiError, errorResponses } from './errors.ts';
import type { V1Network } from './subject.ts';

/** At once: each has a buffer of 4 MiB. */
export const CAPTURE_LIMIT = 8;
const TYPE = 'application/x-pcapng';

const query = z.strictObject({
  port: z
    .string()
    .regex(/^\d{1,9}$/, 'want a whole number')
    .transform(Number)
    .optional()
    .openapi({ type: 'integer', description: "Id of a VM's port; the stream ends when the VM goes. Default: all VMs." }),
});
const route = createRoute({
  method: 'get',
  path: '/v1/capture',
  summary: 'Frames of VMs as they pass, both ways',
  request: { query },
  responses: {
    ...errorResponses('invalid-request', 'capture-refused', 'no-such-port', 'too-many-captures'),
    200: {
      description:
        'pcapng, whole blocks at a time. What the client takes too slowly is lost; an Interface Statistics Block says how much (isb_ifdrop), ' +
        'and one ends the stream.',
      content: { [TYPE]: { schema: z.string().openapi({ format: 'binary' }) } },
    },
  },
});

/** `allowed`: clients may see the frames. */
export function captureRoutes(app: V1App, network: V1Network, allowed: boolean): void {
  let running = 0;
  app.openapi(route, (c) => {
    if (!allowed) throw new ApiError('capture-refused', 'this socket gives no captures');
    const { port: id } = c.req.valid('query');
    const port = id === undefined ? null : network.ports.find((each) => each.id === id);
    if (port === undefined) throw new ApiError('no-such-port', `there is no port ${id}`);
    const headers = { 'Content-Type': TYPE, 'Cache-Control': 'no-store' };
    if (c.req.method === 'HEAD') return c.body(null, 200, headers);
    if (running >= CAPTURE_LIMIT)
      throw new ApiError('too-many-captures', `there are ${CAPTURE_LIMIT} captures already`, { 'Retry-After': '10' });
    running++;
    const { capture, stop } = network.liveCapture(port);
    let isRunning = true;
    const end = (): void => {
      if (!isRunning) return;
      isRunning = false;
      running--;
      stop();
    };
    c.env?.lift?.();
    return c.body(stream(capture, end), 200, headers);
  });
}

type Capture = ReturnType<V1Network['liveCapture']>['capture'];

/** Pulled by whoever sends it: while the client takes nothing, nothing is taken. */
function stream(capture: Capture, end: () => void): ReadableStream<Uint8Array> {
  return new ReadableStream(
    {
      async pull(controller) {
        const blocks = await capture.take();
        if (blocks !== null) return controller.enqueue(blocks);
        end();
        controller.close();
      },
      cancel: end,
    },
    { highWaterMark: 0 },
  );
}
