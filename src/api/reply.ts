/** Answers as Go's `net/http` and `encoding/json` write them (contract §13.2). */
import { type ServerResponse, STATUS_CODES } from 'node:http';

const TEXT = 'text/plain; charset=utf-8';
/** Bytes of a body beyond which Go does not know its length when the head goes out. */
const BUFFERED = 2048;

/** An error: a line of text. */
export function sendError(response: ServerResponse, status: number, text: string): void {
  const body = `${text}\n`;
  send(response, status, { 'Content-Type': TEXT, 'X-Content-Type-Options': 'nosniff' }, body);
}

/** 200 with nothing in it. */
export function sendEmpty(response: ServerResponse): void {
  send(response, 200, {}, '');
}

/** 200 with one value; labelled as text, for Go sniffs it. */
export function sendJson(response: ServerResponse, value: unknown): void {
  send(response, 200, { 'Content-Type': TEXT }, `${goJson(value)}\n`);
}

/** Any other body. */
export function send(response: ServerResponse, status: number, headers: Readonly<Record<string, string>>, body: string | Buffer): void {
  const length = Buffer.byteLength(body);
  response.statusCode = status;
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  // Go says nothing where the connection goes on; a closing one is announced by Node.
  if (response.shouldKeepAlive) response.removeHeader('Connection');
  if (length <= BUFFERED) response.setHeader('Content-Length', length);
  else response.write(body);
  response.end(length <= BUFFERED ? body : undefined);
}

/** JSON with what HTML could take for markup escaped, as Go does. */
function goJson(value: unknown): string {
  return JSON.stringify(value).replaceAll(/[<>&\u2028\u2029]/g, (char) => `\\u${char.codePointAt(0)!.toString(16).padStart(4, '0')}`);
}

/** A whole response, for a connection that Node's parser has given up or never had. It is the last one. */
export function closingResponse(status: number, text = ''): string {
  const line = `${status} ${STATUS_CODES[status]!}`;
  return `HTTP/1.1 ${line}\r\nContent-Type: ${TEXT}\r\nConnection: close\r\n\r\n${line}${text === '' ? '' : `: ${text}`}`;
}
