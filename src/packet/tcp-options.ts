/** TCP options: MSS (RFC 9293 §3.7.1), window scale (RFC 7323 §2), SACK permitted and SACK blocks (RFC 2018). */
import { i32, setU16, setU32, u16 } from './bytes.ts';

const END = 0;
const NOP = 1;
const MSS = 2;
const WINDOW_SCALE = 3;
const SACK_PERMITTED = 4;
const SACK = 5;

/** RFC 7323 §2.3. */
export const MAX_WINDOW_SCALE = 14;

/** Reused between packets: copy what must outlive the next `read`. */
export class TcpOptions {
  /** 0 when absent. */
  mss = 0;
  /** -1 when absent. */
  windowScale = -1;
  sackPermitted = false;
  sackCount = 0;
  readonly sackLeft: Int32Array = new Int32Array(4);
  readonly sackRight: Int32Array = new Int32Array(4);

  /** Reads the options between `at` and `end`. A malformed option ends the walk; those before it stand. */
  read(bytes: Uint8Array, at: number, end: number): void {
    this.mss = 0;
    this.windowScale = -1;
    this.sackPermitted = false;
    this.sackCount = 0;
    while (at < end) {
      const kind = bytes[at]!;
      if (kind === END) return;
      if (kind === NOP) {
        at++;
        continue;
      }
      if (at + 2 > end) return;
      const length = bytes[at + 1]!;
      if (length < 2 || at + length > end) return;
      this.#take(kind, length, bytes, at);
      at += length;
    }
  }

  #take(kind: number, length: number, bytes: Uint8Array, at: number): void {
    if (kind === MSS && length === 4) this.mss = u16(bytes, at + 2);
    else if (kind === WINDOW_SCALE && length === 3) this.windowScale = Math.min(bytes[at + 2]!, MAX_WINDOW_SCALE);
    else if (kind === SACK_PERMITTED && length === 2) this.sackPermitted = true;
    else if (kind === SACK && (length - 2) % 8 === 0) {
      const count = Math.min((length - 2) >> 3, 4);
      for (let i = 0; i < count; i++) {
        this.sackLeft[i] = i32(bytes, at + 2 + i * 8);
        this.sackRight[i] = i32(bytes, at + 6 + i * 8);
      }
      this.sackCount = count;
    }
  }
}

/** Writes the options of a SYN; `windowScale` -1 leaves it out. Returns their length, a multiple of four. */
export function writeSynOptions(bytes: Uint8Array, at: number, mss: number, windowScale: number, sackPermitted: boolean): number {
  let end = at;
  bytes[end] = MSS;
  bytes[end + 1] = 4;
  setU16(bytes, end + 2, mss);
  end += 4;
  if (sackPermitted) {
    setU32(bytes, end, (NOP << 24) | (NOP << 16) | (SACK_PERMITTED << 8) | 2);
    end += 4;
  }
  if (windowScale >= 0) {
    setU32(bytes, end, (NOP << 24) | (WINDOW_SCALE << 16) | (3 << 8) | windowScale);
    end += 4;
  }
  return end - at;
}

/** Writes up to four SACK blocks from (left, right) pairs. Returns the length, a multiple of four; 0 for no blocks. */
export function writeSack(bytes: Uint8Array, at: number, count: number, left: Int32Array, right: Int32Array): number {
  if (count === 0) return 0;
  setU32(bytes, at, (NOP << 24) | (NOP << 16) | (SACK << 8) | (2 + count * 8));
  for (let i = 0; i < count; i++) {
    setU32(bytes, at + 4 + i * 8, left[i]!);
    setU32(bytes, at + 8 + i * 8, right[i]!);
  }
  return 4 + count * 8;
}
