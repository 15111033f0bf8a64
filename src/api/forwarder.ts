/** `/services/forwarder/…`: ports of the host that lead to guests, added and removed (contract §13.5, §13.7, §13.8, §14.1). */
import { decode, TEXT } from './go-decode.ts';
import { parseFirstValue } from './go-json.ts';

export interface ForwardSpec {
  /** `tcp`, `udp`, `unix` or `npipe`. */
  readonly protocol: string;
  readonly local: string;
  readonly remote: string;
}

/** The network's forwards. Errors have a `code` and the contract's text; `remote` is the one code that is the request's fault. */
export interface ForwardRegistry {
  list(): readonly ForwardSpec[];
  /** Rejects when the forward can't be made. */
  expose(spec: ForwardSpec): Promise<unknown>;
  /** Throws when there is no such forward. */
  unexpose(protocol: string, local: string): void;
}

/** A request that can't be done. */
export class RequestError extends Error {
  override readonly name: string = 'RequestError';
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** By local, then protocol, in the order of bytes; the texts as they were given. */
export function listForwards(registry: ForwardRegistry): readonly { local: string; remote: string; protocol: string }[] {
  return registry
    .list()
    .map(({ local, remote, protocol }) => ({ local, remote, protocol }))
    .toSorted((a, b) => compare(a.local, b.local) || compare(a.protocol, b.protocol));
}

function compare(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/** `client`: IP address of who asks; undefined over a unix socket. Rejects with JsonError or RequestError. */
export async function expose(registry: ForwardRegistry, body: string, client: string | undefined): Promise<void> {
  const request = decode<ForwardSpec>(parseFirstValue(body), 'types.ExposeRequest', { local: TEXT, remote: TEXT, protocol: TEXT });
  const protocol = request.protocol === '' ? 'tcp' : request.protocol;
  const remote = protocol === 'tcp' || protocol === 'udp' ? completeRemote(request.remote, client) : request.remote;
  try {
    await registry.expose({ protocol, local: request.local, remote });
  } catch (error) {
    throw refused(error);
  }
}

/** Throws JsonError or RequestError. */
export function unexpose(registry: ForwardRegistry, body: string): void {
  const request = decode<Omit<ForwardSpec, 'remote'>>(parseFirstValue(body), 'types.UnexposeRequest', { local: TEXT, protocol: TEXT });
  try {
    registry.unexpose(request.protocol === '' ? 'tcp' : request.protocol, request.local);
  } catch (error) {
    throw refused(error);
  }
}

function refused(error: unknown): RequestError {
  const { code, message } = error as { code?: unknown; message: string };
  return new RequestError(code === 'remote' ? 400 : 500, message);
}

/** `:8080` is that port of who asks: so guests say "my own". The rest is judged by the registry. */
function completeRemote(remote: string, client: string | undefined): string {
  if (remote.lastIndexOf(':') <= remote.lastIndexOf(']')) throw new RequestError(400, `address ${remote}: missing port in address`);
  if (!remote.startsWith(':') || remote.indexOf(':', 1) >= 0) return remote;
  // What Go calls the other end of a unix socket.
  if (client === undefined) throw new RequestError(400, 'address @: missing port in address');
  return `${client.includes(':') ? `[${client}]` : client}${remote}`;
}
