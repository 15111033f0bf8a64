/** Requests with a body: JSON, of limited size, and not more of it than is looked at in no time. */
import { bodyLimit } from 'hono/body-limit';
import type { MiddlewareHandler } from 'hono';
import { ApiError } from './errors.ts';

/** Bytes. A request for as many forwards as there may be takes less. */
export const BODY_LIMIT = 262_144;

const limited: MiddlewareHandler = bodyLimit({
  maxSize: BODY_LIMIT,
  onError: () => {
    throw new ApiError('body-too-large', `the body is larger than ${BODY_LIMIT} bytes`);
  },
});

/** Throws ApiError for a body that is not announced as JSON, too large, or not JSON. */
export const jsonBody: MiddlewareHandler = async (c, next) => {
  const type = c.req.header('content-type') ?? '';
  if (!/^application\/(?:[\w.+-]+\+)?json *(?:;|$)/i.test(type)) {
    throw new ApiError('unsupported-media-type', type === '' ? 'the request has no Content-Type' : `the body is ${type}`);
  }
  return limited(c, async () => {
    const text = await c.req.text().catch((error: unknown) => {
      throw error instanceof ApiError ? error : new ApiError('bad-request', `the body could not be read: ${(error as Error).message}`);
    });
    try {
      JSON.parse(text);
    } catch (error) {
      throw new ApiError('bad-json', text === '' ? 'the body is empty' : `the body is no JSON: ${(error as Error).message}`);
    }
    await next();
  });
};
