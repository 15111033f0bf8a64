/**
 * What streams carry: the byte at each position is known from the position, so nothing has to be kept to judge what arrives.
 *
 * The period is a prime, so that no multiple of a segment, page or power of two brings the same bytes again. Each direction
 * of each connection begins at another place: bytes that end up in the wrong stream are found out.
 */
import { Dice } from './dice.ts';

const PERIOD = 65_521;
/** Longest piece that is copied or compared at once. */
const PIECE = 1 << 17;

const table: Buffer = (() => {
  const dice = new Dice(1);
  const bytes = Buffer.alloc(PERIOD + PIECE);
  for (let i = 0; i < PERIOD; i++) bytes[i] = dice.word();
  for (let i = PERIOD; i < bytes.length; i++) bytes[i] = bytes[i - PERIOD]!;
  return bytes;
})();

export class Pattern {
  readonly #salt: number;

  constructor(salt: number) {
    this.#salt = salt * 7919;
  }

  /** Puts `length` bytes from `position` on to `bytes` at `at`. */
  copy(bytes: Uint8Array, at: number, position: number, length: number): void {
    const from = (position + this.#salt) % PERIOD;
    bytes.set(table.subarray(from, from + length), at);
  }

  /** Whether the `length` bytes at `at` are those from `position` on. */
  matches(bytes: Uint8Array, at: number, position: number, length: number): boolean {
    const from = (position + this.#salt) % PERIOD;
    return table.compare(bytes, at, at + length, from, from + length) === 0;
  }
}
