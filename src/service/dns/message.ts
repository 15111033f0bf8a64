/** The parts of a DNS message (RFC 1035 §4.1) that the server must understand of a hostile query; the rest passes as bytes. */
import { setU16, u16 } from '../../packet/bytes.ts';

export const HEADER = 12;

export const RCODE_OK = 0;
export const RCODE_FORMAT = 1;
export const RCODE_SERVER_FAILURE = 2;
export const RCODE_NAME_ERROR = 3;
export const RCODE_NOT_IMPLEMENTED = 4;

export const TYPE_A = 1;
export const TYPE_PTR = 12;
export const TYPE_AAAA = 28;
export const TYPE_OPT = 41;

const OPCODE_QUERY = 0;
const OPCODE_NOTIFY = 4;
/** RFC 1035 §3.1: bytes of a name, its length bytes included. */
const NAME_LIMIT = 255;
/** RFC 1035 §4.2.1: what every client can take over UDP. */
export const PLAIN_LIMIT = 512;

/** Bytes of a query that is read: one name and options take far less, and what waits for resolvers is kept. */
export const QUERY_LIMIT = 4096;

export interface Query {
  readonly bytes: Uint8Array;
  readonly id: number;
  /** With the case the client used, without the final dot. */
  readonly name: string;
  readonly type: number;
  /** Offset behind the question. */
  readonly questionEnd: number;
  /** Largest UDP answer the client takes (RFC 6891 §6.2.3). */
  readonly limit: number;
}

/** A query that can be worked on, the rcode to refuse it with, or undefined: not to be answered at all. */
export function readQuery(bytes: Uint8Array): Query | number | undefined {
  if (bytes.length < HEADER) return undefined;
  const flags = u16(bytes, 2);
  if (flags & 0x8000) return undefined;
  const opcode = (flags >>> 11) & 15;
  if (bytes.length > QUERY_LIMIT) return RCODE_FORMAT;
  if (opcode !== OPCODE_QUERY && opcode !== OPCODE_NOTIFY) return RCODE_NOT_IMPLEMENTED;
  if (u16(bytes, 4) !== 1 || u16(bytes, 6) > 1 || u16(bytes, 8) > 1 || u16(bytes, 10) > 2) return RCODE_FORMAT;
  const labels: string[] = [];
  let at = HEADER;
  for (;;) {
    const length = bytes[at];
    // A question is the first name of its message: it has nothing to point back to.
    if (length === undefined || length > 63 || at + 1 + length > bytes.length || at - HEADER >= NAME_LIMIT) return RCODE_FORMAT;
    at++;
    if (length === 0) break;
    labels.push(Buffer.from(bytes.subarray(at, at + length)).toString('latin1'));
    at += length;
  }
  if (at + 4 > bytes.length) return RCODE_FORMAT;
  const end = at + 4;
  return { bytes, id: u16(bytes, 0), name: labels.join('.'), type: u16(bytes, at), questionEnd: end, limit: udpLimit(bytes, end) };
}

/** The size in an OPT record right behind the question: queries carry nothing else in front of it. */
function udpLimit(bytes: Uint8Array, at: number): number {
  const plain = u16(bytes, 6) === 0 && u16(bytes, 8) === 0 && u16(bytes, 10) > 0;
  if (!plain || at + 11 > bytes.length || bytes[at] !== 0 || u16(bytes, at + 1) !== TYPE_OPT) return PLAIN_LIMIT;
  return Math.max(u16(bytes, at + 3), PLAIN_LIMIT);
}

/** The header and question of a query as an answer without records: QR and RA set, opcode, RD and CD kept (contract §12.1). */
export function emptyAnswer(query: Uint8Array, questionEnd: number, rcode: number): Uint8Array {
  // A copy also of a Buffer, whose `slice` is a view.
  const answer = new Uint8Array(query.subarray(0, Math.max(questionEnd, HEADER)));
  const flags = u16(query, 2);
  const opcode = rcode === RCODE_FORMAT ? 0 : flags & 0x7800;
  setU16(answer, 2, 0x8080 | opcode | (flags & 0x0110) | rcode);
  setU16(answer, 4, questionEnd > HEADER ? 1 : 0);
  setU16(answer, 6, 0);
  setU16(answer, 8, 0);
  setU16(answer, 10, 0);
  return answer;
}

/** Answer records of one type and class IN, TTL 0, named as the question (by a pointer to it). */
export function recordAnswer(query: Query, type: number, values: readonly Uint8Array[]): Uint8Array {
  const head = emptyAnswer(query.bytes, query.questionEnd, RCODE_OK);
  const records = values.map((value) => {
    const record = new Uint8Array(12 + value.length);
    setU16(record, 0, 0xc000 | HEADER);
    setU16(record, 2, type);
    setU16(record, 4, 1);
    setU16(record, 10, value.length);
    record.set(value, 12);
    return record;
  });
  setU16(head, 6, records.length);
  return Buffer.concat([head, ...records]);
}

/** An answer too long for the client: header and question with TC, which sends it to TCP (RFC 2181 §9). */
export function truncate(answer: Uint8Array, query: Query): Uint8Array {
  const short = new Uint8Array(answer.subarray(0, query.questionEnd));
  setU16(short, 2, u16(answer, 2) | 0x0200);
  setU16(short, 6, 0);
  setU16(short, 8, 0);
  setU16(short, 10, 0);
  return short;
}

export function isTruncated(answer: Uint8Array): boolean {
  return (u16(answer, 2) & 0x0200) !== 0;
}

/** Whether `answer` answers `query`: a response with its id and its question, case aside (RFC 5452 §4.2, §4.3). */
export function matches(answer: Uint8Array, query: Query, id: number): boolean {
  if (answer.length < query.questionEnd || u16(answer, 0) !== id || (u16(answer, 2) & 0x8000) === 0 || u16(answer, 4) !== 1) return false;
  for (let at = HEADER; at < query.questionEnd; at++) if (lower(answer[at]!) !== lower(query.bytes[at]!)) return false;
  return true;
}

function lower(byte: number): number {
  return byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte;
}
