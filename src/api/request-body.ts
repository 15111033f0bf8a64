/** Request bodies, bounded. */
import type { IncomingMessage } from 'node:http';

/** Bytes; the largest sensible request, a zone with thousands of records, stays below. */
export const BODY_LIMIT = 1 << 20;

export class BodyTooLarge extends Error {
  override readonly name: string = 'BodyTooLarge';

  constructor() {
    super(`request body too large: the limit is ${BODY_LIMIT} bytes`);
  }
}

/** The whole body as text. Rejects with BodyTooLarge, or with Node's error when the client goes. */
export async function readBody(request: IncomingMessage): Promise<string> {
  if (Number(request.headers['content-length'] ?? 0) > BODY_LIMIT) throw new BodyTooLarge();
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > BODY_LIMIT) throw new BodyTooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}
