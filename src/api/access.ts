/**
 * Who may ask for what. gvproxy asks nobody for anything (contract §13.1); so do we, unless told otherwise, but for requests that a
 * browser makes on behalf of some page: a page that the host's user looks at must not expose ports or open tunnels.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';

/** Contract §19, #724. */
export const TOKEN_MINIMUM = 32;

/** What guests may do over port 80 of the gateway; with `off` nobody listens there. */
export type GuestAccess = 'full' | 'read-only' | 'off';

/** Where a request came in: a listener with all endpoints, one with the services only (contract §13.1), or a guest. */
export type Origin = 'listen' | 'services' | 'guest';

/** A request that is refused: status and text. */
export interface Refusal {
  readonly status: 400 | 401 | 403;
  readonly text: string;
}

export interface AccessRules {
  /** A browser can reach the listener: TCP, or the gateway's port. */
  readonly reachable: boolean;
  /** The host part of the listener's URL; it may be called so. */
  readonly name: string | undefined;
  /** Digest of the token that is wanted; undefined for none. */
  readonly token: Buffer | undefined;
  readonly origin: Origin;
}

/** Names that clients of gvproxy put into `Host`, whatever they connect to (contract §13.1). */
const NAMES = new Set(['', 'localhost', 'unix', 'base', 'lima', 'gateway.containers.internal', 'gateway.docker.internal']);

/** Throws RangeError for a token that is too short. */
export function tokenDigest(token: string): Buffer {
  if (token.length < TOKEN_MINIMUM)
    throw new RangeError(`the API's token has ${token.length} characters; it must have at least ${TOKEN_MINIMUM}`);
  return digest(token);
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

/** Undefined when the request may go on. */
export function refusal(headers: IncomingHttpHeaders, rules: AccessRules): Refusal | undefined {
  const why = rules.reachable ? crossSite(headers, rules) : undefined;
  if (why !== undefined) return { status: 403, text: `${why}: requests of web pages are refused` };
  if (rules.token === undefined) return undefined;
  const [, given] = /^bearer +(\S+) *$/i.exec(headers.authorization ?? '') ?? [];
  if (given === undefined) return { status: 401, text: 'this API wants a token: Authorization: Bearer TOKEN' };
  return timingSafeEqual(digest(given), rules.token) ? undefined : { status: 401, text: 'the token is not the right one' };
}

function crossSite(headers: IncomingHttpHeaders, { name, origin }: AccessRules): string | undefined {
  const { host = '', origin: from } = headers;
  const site = headers['sec-fetch-site'];
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return `Sec-Fetch-Site is ${site}`;
  // A name of the attacker's that resolves to this listener. Guests may call the gateway by whatever name they have for it.
  const isKnown = isKnownHost(host, name);
  if (!isKnown && origin !== 'guest') return `Host ${host} is no name of this listener (want an IP address or localhost)`;
  if (from === undefined) return undefined;
  return isKnown && host !== '' && from === `http://${host}` ? undefined : `Origin ${from} is not this listener's`;
}

function isKnownHost(host: string, name: string | undefined): boolean {
  const [, bracketed, plain = ''] = /^(?:\[([^\]]*)\]|([^:]*))(?::\d*)?$/.exec(host) ?? [undefined, undefined, host];
  if (bracketed !== undefined) return isIP(bracketed) === 6;
  const lower = plain.toLowerCase();
  return isIP(lower) > 0 || NAMES.has(lower) || lower === name?.toLowerCase();
}
