/**
 * The Internet checksum (RFC 1071): the one's complement sum of 16-bit words.
 *
 * `sum` is the plain twin of the WebAssembly routine (checksum.wat): its oracle in tests and its stand-in where
 * WebAssembly SIMD is missing or the bytes lie outside the arena.
 */

/** Sums `length` bytes at `at`, adding `initial` (an unfolded sum below 2^31). Returns the folded 16-bit sum, not inverted. */
export type Sum = (at: number, length: number, initial: number) => number;

export function sum(bytes: Uint8Array, at: number, length: number, initial = 0): number {
  let total = initial;
  const end = at + (length & ~1);
  for (let i = at; i < end; i += 2) {
    total += (bytes[i]! << 8) | bytes[i + 1]!;
    if (total > 0x3fff0000) total = fold(total);
  }
  if (length & 1) total += bytes[end]! << 8;
  return fold(total);
}

/** Folds an unfolded sum below 2^32 to 16 bits. */
export function fold(total: number): number {
  let folded = (total & 0xffff) + (total >>> 16);
  folded = (folded & 0xffff) + (folded >>> 16);
  return folded;
}

/** The value for a checksum field: the complement of the folded sum. */
export function finish(total: number): number {
  return ~fold(total) & 0xffff;
}

/** Unfolded sum of a pseudo-header (RFC 9293 §3.1) of two IPv4 addresses given as words. */
export function pseudoIpv4(source: number, destination: number, protocol: number, length: number): number {
  return ((source >>> 16) & 0xffff) + (source & 0xffff) + ((destination >>> 16) & 0xffff) + (destination & 0xffff) + protocol + length;
}

/** Unfolded sum of the pseudo-header of IPv6 (RFC 8200 §8.1); its addresses' part is the same for all packets of a flow. */
export function pseudoIpv6(
  s0: number,
  s1: number,
  s2: number,
  s3: number,
  d0: number,
  d1: number,
  d2: number,
  d3: number,
  protocol: number,
  length: number,
): number {
  return halves(s0) + halves(s1) + halves(s2) + halves(s3) + halves(d0) + halves(d1) + halves(d2) + halves(d3) + protocol + length;
}

function halves(word: number): number {
  return (word >>> 16) + (word & 0xffff);
}
