/**
 * IP addresses of both families in one form: four signed 32-bit words, IPv4 as IPv4-mapped IPv6 (RFC 4291 §2.5.5.2).
 *
 * Hot code passes the words; this class is for configuration, listings and endpoints, where an object costs nothing.
 */

/** Third word of every IPv4-mapped address. */
export const MAPPED = 0x0000ffff;

export class IpAddress {
  readonly w0: number;
  readonly w1: number;
  readonly w2: number;
  readonly w3: number;

  constructor(w0: number, w1: number, w2: number, w3: number) {
    this.w0 = w0 | 0;
    this.w1 = w1 | 0;
    this.w2 = w2 | 0;
    this.w3 = w3 | 0;
  }

  /** From a 32-bit IPv4 word in network order, e.g. 0x7f000001. */
  static v4(word: number): IpAddress {
    return new IpAddress(0, 0, MAPPED, word);
  }

  /** Dotted IPv4 or RFC 4291 §2.2 IPv6 text without a zone; undefined when the text is neither. */
  static parse(text: string): IpAddress | undefined {
    const v4 = parseIpv4(text);
    if (v4 !== undefined) return IpAddress.v4(v4);
    return parseIpv6(text);
  }

  get isIpv4(): boolean {
    return this.w0 === 0 && this.w1 === 0 && this.w2 === MAPPED;
  }

  equals(other: IpAddress): boolean {
    return this.w3 === other.w3 && this.w2 === other.w2 && this.w1 === other.w1 && this.w0 === other.w0;
  }

  toString(): string {
    return formatAddress(this.w0, this.w1, this.w2, this.w3);
  }
}

/** `192.0.2.1:80` or `[2001:db8::1]:80`. */
export function formatEndpoint(address: IpAddress, port: number): string {
  return address.isIpv4 ? `${address.toString()}:${port}` : `[${address.toString()}]:${port}`;
}

/** Strict dotted quad without leading zeros, as a signed word; undefined otherwise. */
export function parseIpv4(text: string): number | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (!match) return undefined;
  let word = 0;
  for (const part of match.slice(1)) {
    if ((part.length > 1 && part.startsWith('0')) || Number(part) > 255) return undefined;
    word = (word << 8) | Number(part);
  }
  return word;
}

export function formatIpv4(word: number): string {
  return `${word >>> 24}.${(word >>> 16) & 255}.${(word >>> 8) & 255}.${word & 255}`;
}

/** IPv4-mapped addresses as dotted quads, others as RFC 5952 text. */
export function formatAddress(w0: number, w1: number, w2: number, w3: number): string {
  if (w0 === 0 && w1 === 0 && w2 === MAPPED) return formatIpv4(w3);
  const groups = [w0, w1, w2, w3].flatMap((word) => [(word >>> 16) & 0xffff, word & 0xffff]);
  const run = longestZeroRun(groups);
  const text = (from: number, to: number): string =>
    groups
      .slice(from, to)
      .map((group) => group.toString(16))
      .join(':');
  return run.length < 2 ? text(0, 8) : `${text(0, run.start)}::${text(run.start + run.length, 8)}`;
}

function longestZeroRun(groups: number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  for (let start = 0; start < 8; start++) {
    let length = 0;
    while (start + length < 8 && groups[start + length] === 0) length++;
    if (length > best.length) best = { start, length };
  }
  return best;
}

function parseIpv6(text: string): IpAddress | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const [head, tail] = [parseGroups(halves[0]!), parseGroups(halves[1] ?? '')];
  if (!head || !tail) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  const groups = [...head, ...Array.from({ length: missing }, () => 0), ...tail];
  const word = (index: number): number => (groups[index * 2]! << 16) | groups[index * 2 + 1]!;
  return new IpAddress(word(0), word(1), word(2), word(3));
}

function parseGroups(text: string): number[] | undefined {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (const [index, part] of parts.entries()) {
    const v4 = index === parts.length - 1 ? parseIpv4(part) : undefined;
    if (v4 !== undefined) groups.push((v4 >>> 16) & 0xffff, v4 & 0xffff);
    else if (/^[0-9a-f]{1,4}$/i.test(part)) groups.push(parseInt(part, 16));
    else return undefined;
  }
  return groups;
}
