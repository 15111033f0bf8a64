/** What judges say, and what they read. */
import type { IpAddress } from '../../src/packet/address.ts';

export class Verdict extends Error {
  override name = 'Verdict';
}

/** A packet whose header is in order, whole. */
export interface Packet {
  readonly protocol: number;
  readonly source: IpAddress;
  readonly destination: IpAddress;
  readonly payload: Uint8Array;
}

/** What has come of a datagram. */
interface Pieces {
  readonly pieces: Uint8Array[];
  length: number;
}

/** Datagrams being put together: fragments come in order, one datagram at a time for each key. */
export class Fragments {
  readonly #datagrams: Map<string, Pieces> = new Map();

  /** The whole, with its last piece. */
  take(key: string, piece: Uint8Array, offset: number, more: boolean): Uint8Array | null {
    if (piece.length === 0 || (more && piece.length % 8 !== 0)) throw new Verdict(`a fragment of ${piece.length} bytes`);
    const before: Pieces | undefined = offset === 0 ? { pieces: [], length: 0 } : this.#datagrams.get(key);
    if (before?.length !== offset) throw new Verdict(`a fragment at ${offset} behind ${before?.length}`);
    before.pieces.push(piece);
    before.length += piece.length;
    this.#datagrams.set(key, before);
    if (more) return null;
    this.#datagrams.delete(key);
    return Buffer.concat(before.pieces);
  }
}
