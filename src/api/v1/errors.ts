/** Every error that the API answers with: one table, which the OpenAPI document is written from. */
import { z } from '@hono/zod-openapi';

interface ErrorKind {
  readonly status: 400 | 403 | 404 | 405 | 409 | 413 | 415 | 422 | 500 | 503;
  /** What to do about it. */
  readonly advice: string;
}

const KINDS = {
  'bad-request': { status: 400, advice: 'Send a request line and headers that HTTP allows.' },
  'bad-json': { status: 400, advice: 'Send one complete JSON value in UTF-8.' },
  'invalid-request': { status: 400, advice: 'Compare the request with GET /v1/openapi.json.' },
  'invalid-address': {
    status: 400,
    advice: 'Want host:port on the host and ip:port of a guest; a path and tcp://ip:port for protocol unix.',
  },
  'invalid-range': {
    status: 400,
    advice: 'Write both ranges with the same number of ports, such as 127.0.0.1:8000-8010 and 192.168.127.2:8000-8010.',
  },
  'zone-refused': { status: 403, advice: 'Choose another zone: this one can not be changed, or not be made.' },
  'capture-refused': {
    status: 403,
    advice: 'Ask on a unix or TCP socket of the host: what VMs can reach must not show them the frames of others.',
  },
  'not-found': { status: 404, advice: 'GET /v1/ lists what there is.' },
  'no-such-forward': {
    status: 404,
    advice: 'GET /v1/forwards lists the forwards; protocol and local must be as they were given, letter by letter.',
  },
  'no-such-zone': { status: 404, advice: 'GET /v1/dns/zones lists the zones; PUT makes one.' },
  'no-such-record': { status: 404, advice: "GET the zone's records lists them; a record that is a pattern is named by ~ and the pattern." },
  'no-such-flow': { status: 404, advice: 'GET /v1/flows lists the flows; this one may have ended by itself.' },
  'no-such-port': { status: 404, advice: 'GET /v1/ports lists the VMs; this one may have gone.' },
  'method-not-allowed': { status: 405, advice: 'The header Allow lists the methods that there are.' },
  'forward-exists': { status: 409, advice: 'Remove the other forward first, or choose another local address; port 0 is any free port.' },
  'zone-would-be-empty': { status: 409, advice: 'Remove the zone instead, or give it a default address first.' },
  'body-too-large': { status: 413, advice: 'Split the request into several.' },
  'unsupported-media-type': { status: 415, advice: 'Send JSON with Content-Type: application/json.' },
  'bind-failed': { status: 422, advice: 'Choose a local address that is free, that the host has, and that this user may take.' },
  'forward-unsupported': {
    status: 422,
    advice: 'Want protocol tcp, udp or unix, and for unix a remote of tcp://ip:port or ssh-tunnel://.',
  },
  internal: { status: 500, advice: 'This is a fault of guestwire: please report what was asked for.' },
  'too-many-captures': { status: 503, advice: 'End another capture, or try again later.' },
  'too-many-subscribers': { status: 503, advice: 'Close another event stream, or try again later.' },
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof KINDS;

/** By code. */
export const ERRORS: Readonly<Record<ErrorCode, ErrorKind>> = KINDS;

export interface ErrorBody {
  readonly error: { readonly code: ErrorCode; readonly message: string; readonly advice: string };
}

/** An answer that is no success; thrown by whoever finds the reason. */
export class ApiError extends Error {
  override readonly name: string = 'ApiError';
  readonly code: ErrorCode;
  readonly headers: Readonly<Record<string, string>>;

  constructor(code: ErrorCode, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(message);
    this.code = code;
    this.headers = headers;
  }

  get status(): ErrorKind['status'] {
    return ERRORS[this.code].status;
  }

  get body(): ErrorBody {
    const { code, message } = this;
    return { error: { code, message, advice: ERRORS[code].advice } };
  }
}

const errorSchema = z
  .object({
    error: z.object({
      code: z.enum(Object.keys(KINDS) as ErrorCode[]),
      message: z.string().openapi({ description: 'What went wrong, with the value that did.' }),
      advice: z.string().openapi({ description: 'What to do about it.' }),
    }),
  })
  .openapi('Error');

/** Responses of a route that may fail so, for its document. */
export function errorResponses(...codes: readonly ErrorCode[]): object {
  const all: Record<number, object> = {};
  for (const code of codes) {
    const { status } = ERRORS[code];
    const same = codes.filter((other) => ERRORS[other].status === status);
    all[status] = { description: same.join(', '), content: { 'application/json': { schema: errorSchema } } };
  }
  return all;
}

/** Issues of zod as text, the first few; of a choice those of the alternative that fits best. */
export function describeIssues(issues: readonly z.core.$ZodIssue[], what: string): string {
  const shown = issues.slice(0, 5).map((issue) => describeIssue(issue, []));
  if (issues.length > shown.length) shown.push(`and ${issues.length - shown.length} more`);
  return `${what}: ${shown.join('; ')}`;
}

function describeIssue(issue: z.core.$ZodIssue, at: readonly PropertyKey[]): string {
  const path = [...at, ...issue.path];
  if (issue.code === 'invalid_union') {
    const inside = issue.errors.find(
      (branch) => branch.length > 0 && branch.every((each) => each.path.length > 0 || each.code !== 'invalid_type'),
    );
    const [first] = inside ?? issue.errors[0] ?? [];
    if (first !== undefined) return describeIssue(first, path);
  }
  return path.length === 0 ? issue.message : `${path.map(String).join('.')}: ${issue.message}`;
}
