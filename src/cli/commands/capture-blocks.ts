/** pcapng as it comes over a connection, cut between blocks, and what its blocks say (draft-ietf-opsawg-pcapng §3.1). */

const BLOCK_MINIMUM = 12;
const STATISTICS = 5;
const PACKET = 6;
const OPTION_DROPPED = 5;
/** No block of ours is near that. */
const BLOCK_LIMIT = 1 << 20;

export class CaptureBlocks {
  /** Packet blocks that were given back. */
  frames = 0;
  /** As the last statistics say. */
  lost = 0;
  #rest: Uint8Array = new Uint8Array(0);

  /** The whole blocks there are now, up to the one with the frame number `limit`. Throws Error for what is no pcapng of guestwire's. */
  take(chunk: Uint8Array, limit: number = Infinity): Uint8Array {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let at = 0;
    while (at + 8 <= bytes.length && this.frames < limit) {
      const size = view.getUint32(at + 4, true);
      if (size < BLOCK_MINIMUM || size > BLOCK_LIMIT || size % 4 !== 0) throw new Error('what comes is no capture');
      if (at + size > bytes.length) break;
      this.#read(view, at, size);
      at += size;
    }
    this.#rest = bytes.slice(at);
    return bytes.subarray(0, at);
  }

  #read(view: DataView, at: number, size: number): void {
    const type = view.getUint32(at, true);
    if (type === PACKET) this.frames++;
    if (type !== STATISTICS) return;
    for (let option = at + 20; option + 12 <= at + size - 4; option += 4 + ((view.getUint16(option + 2, true) + 3) & ~3)) {
      if (view.getUint16(option, true) !== OPTION_DROPPED) continue;
      this.lost = view.getUint32(option + 4, true) + view.getUint32(option + 8, true) * 2 ** 32;
    }
  }
}
