/** The API of a network that runs (`/v1/`), for commands. */
import { type ClientRequest, type IncomingMessage, request, type RequestOptions } from 'node:http';
import { type Call, CommandError, STATUS, usageError } from './command.ts';
import { controlPath } from './control-socket.ts';

/** Milliseconds without a word from the other side. */
const TIMEOUT = 10_000;
/** Bytes of an answer: a page of flows or all zones are far below. */
const ANSWER_LIMIT = 64 << 20;

interface Failure {
  readonly error?: { readonly code?: string; readonly message?: string; readonly advice?: string };
}

/** What to do, in the words of this program, where the API's advice speaks of requests. */
const ADVICE: Readonly<Record<string, string>> = {
  'no-such-forward': 'guestwire forward ls lists them',
  'no-such-flow': 'it may have ended by itself; guestwire flows lists them',
  'no-such-zone': 'guestwire dns ls lists them',
  'no-such-record': 'guestwire dns ls lists them',
  'no-such-port': 'guestwire ports lists them',
  'invalid-range': 'both sides must have the same number of ports, as 8000-8010:9000-9010',
};

/** An answer that is no success. */
export class ApiFailure extends CommandError {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** Where the call's options, or else the environment, say that a network listens. Throws CommandError. */
export function connectTo({ options, environment: { variables } }: Call): Client {
  const [named, name] = [options.text('connect'), options.text('name')];
  if (named !== undefined && name !== undefined) throw usageError('--connect and --name say both which network is meant: want one of them');
  const url = named ?? (name === undefined ? variables['GUESTWIRE_SOCKET'] || undefined : undefined);
  if (url === undefined) return new Client(`unix://${controlPath(name, variables)}`);
  return new Client(url);
}

export class Client {
  readonly url: string;
  readonly #place: RequestOptions;

  constructor(url: string) {
    this.url = url;
    this.#place = placeOf(url);
  }

  /** Resolves with the answer's JSON; undefined when there is none. Rejects with CommandError. */
  async ask(method: string, path: string, body?: unknown): Promise<unknown> {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const { response } = await this.#send(method, path, text);
    return read(response, this.url);
  }

  async get<T>(path: string): Promise<T> {
    return (await this.ask('GET', path)) as T;
  }

  /** Resolves with an answer that goes on: the caller reads it, and destroys it. Rejects with CommandError. */
  async open(path: string): Promise<IncomingMessage> {
    const { response, sent } = await this.#send('GET', path);
    if (response.statusCode !== 200) await read(response, this.url);
    sent.setTimeout(0);
    return response;
  }

  #send(method: string, path: string, body?: string): Promise<{ response: IncomingMessage; sent: ClientRequest }> {
    const headers = {
      host: 'localhost',
      ...(body === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
    };
    return new Promise((resolve, reject) => {
      const sent = request({ ...this.#place, method, path, headers, agent: false, timeout: TIMEOUT });
      sent.on('timeout', () => sent.destroy(new Error(`no answer within ${TIMEOUT / 1000} s`)));
      sent.on('error', (error: NodeJS.ErrnoException) => reject(unreachable(this.url, error)));
      sent.on('response', (response) => resolve({ response, sent }));
      sent.end(body);
    });
  }
}

function placeOf(url: string): RequestOptions {
  const [, path] = /^unix:(?:\/\/)?(\/.+)$/.exec(url) ?? [];
  if (path !== undefined) return { socketPath: path };
  const [, bracketed, plain, port] = /^(?:tcp|http):\/\/(?:\[([^\]]+)\]|([^:/]+)):(\d{1,5})\/?$/.exec(url) ?? [];
  const host = bracketed ?? plain;
  if (host === undefined || Number(port) > 65_535)
    throw usageError(`${JSON.stringify(url)} is no place to connect to: want unix:///PATH or tcp://HOST:PORT`);
  return { host, port: Number(port) };
}

function unreachable(url: string, { code, message }: NodeJS.ErrnoException): CommandError {
  if (code !== 'ENOENT' && code !== 'ECONNREFUSED') return new CommandError(`${url}: ${message}`);
  const advice =
    'start a network with guestwire run, or guestwire qemu --name NAME, or say where one listens: --connect URL, --name NAME or GUESTWIRE_SOCKET';
  return new CommandError(`nothing is running at ${url} (${advice})`, STATUS.nothingRunning);
}

async function read(response: IncomingMessage, url: string): Promise<unknown> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > ANSWER_LIMIT) throw new Error(`its answer has more than ${ANSWER_LIMIT} bytes`);
      chunks.push(chunk);
    }
  } catch (error) {
    throw new CommandError(`${url}: ${(error as Error).message}`);
  }
  const status = response.statusCode ?? 0;
  const body = parse(Buffer.concat(chunks).toString());
  if (status >= 200 && status < 300 && (size === 0 || body !== undefined)) return body;
  const { code, message, advice = '' } = (body as Failure | undefined)?.error ?? {};
  if (code !== undefined && message !== undefined) {
    const known = ADVICE[code] ?? advice.replace(/\.$/, '');
    throw new ApiFailure(code, `${message}${known === '' ? '' : ` (${known})`}`);
  }
  throw new CommandError(`${url} answers with status ${status} and is no guestwire, or an older one: its /v1/ is needed`);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
