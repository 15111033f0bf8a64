/** The host's side of a TCP or UDP forward, as Go's `net.Listen` reads it and in its words (contract §14.1, §14.2). */
import { lookup } from 'node:dns/promises';
import { formatEndpoint, IpAddress } from '../packet/address.ts';
import { SystemError } from '../host/system-error.ts';
import { ForwardError } from './forward.ts';

export interface LocalAddress {
  /** Empty for every address of the host. */
  readonly host: string;
  readonly port: number;
}

/** Every address of both families. */
const EVERY: IpAddress = new IpAddress(0, 0, 0, 0);

/** `host:port`; an empty text and an empty port stand for any free port. Throws ForwardError. */
export function parseLocal(network: string, text: string): LocalAddress {
  const fail = (reason: string): never => {
    throw new ForwardError('address', `listen ${network}: ${reason}`);
  };
  if (text === '') return { host: '', port: 0 };
  const colon = text.lastIndexOf(':');
  if (colon < 0 || text.endsWith(']')) return fail(`address ${text}: missing port in address`);
  const bracketed = /^\[([^[\]]*)\]$/.exec(text.slice(0, colon));
  const host = bracketed?.[1] ?? text.slice(0, colon);
  if (bracketed === null && host.includes(':')) return fail(`address ${text}: too many colons in address`);
  if (bracketed === null && /[[\]]/.test(host)) return fail(`address ${text}: unexpected bracket in address`);
  const digits = text.slice(colon + 1);
  if (!/^\d*$/.test(digits)) return fail(`lookup ${network}/${digits}: unknown port`);
  const port = Number(digits);
  return port > 65_535 ? fail(`address ${digits}: invalid port`) : { host, port };
}

/** The address of a literal, or of nothing; undefined for a name. */
function literalAddress(host: string): IpAddress | undefined {
  return host === '' ? EVERY : IpAddress.parse(host);
}

/** Names are resolved by the host, IPv4 first as Go does. Rejects with ForwardError. */
export async function resolveLocal(network: string, host: string): Promise<IpAddress> {
  const literal = literalAddress(host);
  if (literal !== undefined) return literal;
  try {
    return IpAddress.parse((await lookup(host, { verbatim: false })).address)!;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const reason = code === 'ENOTFOUND' ? 'no such host' : (error as Error).message;
    throw new ForwardError('address', `listen ${network}: lookup ${host}: ${reason}`, error);
  }
}

/** A SystemError of listening in Go's words: `listen tcp 127.0.0.1:80: bind: permission denied`. Others are thrown as they are. */
export function bindError(network: string, where: string, error: unknown): ForwardError {
  if (!(error instanceof SystemError)) throw error;
  return new ForwardError('bind', `listen ${network} ${where}: ${error.syscall}: ${error.reason}`, error);
}

/** As Go prints it: nothing for every address. */
export function hostPort(host: string, address: IpAddress, port: number): string {
  return host === '' ? `:${port}` : formatEndpoint(address, port);
}
