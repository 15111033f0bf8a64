/**
 * Looks at the first request of a connection before Node's parser does: what follows the head of `/connect` and `/tunnel` is not
 * HTTP, and a parser would eat it (contract §20).
 */
import type { IncomingHttpHeaders } from 'node:http';
import type { Duplex } from 'node:stream';
import { parseTarget, type Target } from './path.ts';

/** Bytes of a request line and its headers; Node's parser is given the same. */
export const HEAD_LIMIT = 8192;

export interface RequestHead {
  /** As they came, with the blank line. */
  readonly bytes: Buffer;
  readonly target: Target;
  /** Names in lower case; of several lines with one name the first. */
  readonly headers: IncomingHttpHeaders;
  /** `Host` lines: HTTP/1.1 wants exactly one. */
  readonly hosts: number;
  readonly isHttp11: boolean;
}

const REQUEST_LINE = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+ (\S+) HTTP\/1\.([01])$/;
const HEADER = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*$/;

/**
 * Reads until it is clear whether the request is for one of `paths`; for those, the whole head. `taken` gets the head and what
 * came behind it; `other` all bytes of any other request, as far as they came. One of them is called, once; a connection that
 * ends first is closed. Nothing is read from the socket afterwards.
 */
export function readHead(
  socket: Duplex,
  paths: readonly string[],
  taken: (head: RequestHead, rest: Buffer) => void,
  other: (bytes: Buffer) => void,
): void {
  let bytes: Buffer = Buffer.alloc(0);
  const settle = (run: () => void): void => {
    socket.pause();
    socket.off('data', read);
    socket.off('end', ended);
    run();
  };
  const read = (chunk: Buffer): void => {
    bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk]);
    const text = bytes.toString('latin1', 0, HEAD_LIMIT);
    if (!isCandidate(text, paths)) return settle(() => other(bytes));
    const blank = /\n\r?\n/.exec(text);
    if (blank === null) return bytes.length >= HEAD_LIMIT ? settle(() => other(bytes)) : undefined;
    const end = blank.index + blank[0].length;
    const head = parseHead(bytes.subarray(0, end), text.slice(0, blank.index));
    return settle(() => (head === undefined ? other(bytes) : taken(head, bytes.subarray(end))));
  };
  // A parser that gets the connection now would never hear of the end.
  const ended = (): void => void socket.destroy();
  socket.on('data', read);
  socket.on('end', ended);
}

/** Whether the text may be the beginning of a request for one of `paths`. */
function isCandidate(text: string, paths: readonly string[]): boolean {
  const newline = text.indexOf('\n');
  if (newline < 0) return text.length < HEAD_LIMIT;
  const target = REQUEST_LINE.exec(text.slice(0, newline).replace(/\r$/, ''))?.[1];
  const path = target === undefined ? undefined : parseTarget(target)?.path;
  return path !== undefined && paths.includes(path);
}

function parseHead(bytes: Buffer, text: string): RequestHead | undefined {
  const [first, ...lines] = text.split(/\r?\n/);
  const request = REQUEST_LINE.exec(first!.replace(/\r$/, ''));
  const target = request === null ? undefined : parseTarget(request[1]!);
  if (target === undefined) return undefined;
  const headers: Record<string, string> = {};
  let hosts = 0;
  for (const line of lines) {
    const header = HEADER.exec(line.replace(/\r$/, ''));
    if (header === null) return undefined;
    const name = header[1]!.toLowerCase();
    if (name === 'host') hosts++;
    headers[name] ??= header[2]!;
  }
  return { bytes, target, headers, hosts, isHttp11: request![2] === '1' };
}
