/** Request bodies, bounded. */
import type { IncomingMessage } from 'node:http';

/** Bytes of a zone, with thousands of records. */
export const ZONE_BODY = 1 << 20;
/** Bytes of a forward: guests may ask for a thousand, and their texts are kept. */
export const FORWARD_BODY = 4096;
/** Pieces that are kept apart: a body may come byte by byte, and each piece costs a hundred times that. */
const PIECES = 256;

export class BodyTooLarge extends Error {
  override readonly name: string = 'BodyTooLarge';

  constructor(limit: number) {
    super(`request body too large: the limit is ${limit} bytes`);
  }
}

/** The whole body as text, of `limit` bytes at most. Rejects with BodyTooLarge, or with Node's error when the client goes. */
export async function readBody(request: IncomingMessage, limit: number): Promise<string> {
  if (Number(request.headers['content-length'] ?? 0) > limit) throw new BodyTooLarge(limit);
  const blocks: Buffer[] = [];
  let pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    size += piece.length;
    if (size > limit) throw new BodyTooLarge(limit);
    if (pieces.push(piece) < PIECES) continue;
    blocks.push(Buffer.concat(pieces));
    pieces = [];
  }
  return Buffer.concat([...blocks, ...pieces]).toString();
}
