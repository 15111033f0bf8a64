/** The two requests that take their connection over: `/connect` becomes a VM's link, `/tunnel` a connection to a guest (contract §13.3, §13.4). */
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { IpAddress, parseIpv4 } from '../packet/address.ts';
import type { VirtualNetwork } from '../network.ts';
import { splice } from './splice.ts';

export const CONNECT = '/connect';
export const TUNNEL = '/tunnel';
/** What `/connect` understands beside what gvproxy does, for whoever asks first. */
export const CONNECT_OFFERS = '/v1/connect';
/** Bytes of virtio-net header that may be asked for. */
export const VNET_HEADERS: readonly number[] = [0, 12];

/** Milliseconds that a client has to close its side of a tunnel that did not come about. */
const LINGER = 1000;

export interface TunnelTarget {
  /** As `VirtualNetwork.dial` takes it: of IPv6 in brackets. */
  readonly ip: string;
  readonly port: number;
}

export interface ConnectTarget {
  /** A virtio-net header stands in front of each frame. */
  readonly vnetHeader: boolean;
}

/** What is wrong with a query; a tunnel's status is Go's, but for an address that crashes the original's request (contract §16 row 14). */
export interface QueryFault {
  readonly status: 400 | 500;
  readonly text: string;
}

/** `vnet_hdr`, which gvproxy ignores as it does every query; no client of it sends one. */
export function parseConnect(query: URLSearchParams): ConnectTarget | QueryFault {
  const text = query.get('vnet_hdr') ?? '0';
  // A key of links: who sends it counts on what does not happen here.
  if (query.has('large_frames'))
    return { status: 400, text: 'large_frames is for links without lengths: /connect takes frames of 64 KiB with vnet_hdr=12' };
  if (VNET_HEADERS.some((size) => String(size) === text)) return { vnetHeader: text !== '0' };
  return { status: 400, text: `vnet_hdr must be ${VNET_HEADERS.join(' or ')}, not ${JSON.stringify(text)}` };
}

export function parseTunnel(query: URLSearchParams, hasIpv6: boolean): TunnelTarget | QueryFault {
  const ip = query.get('ip') ?? '';
  const port = query.get('port') ?? '';
  if (ip === '') return { status: 500, text: 'ip is mandatory' };
  const reason = /^\d+$/.test(port) ? (Number(port) > 65_535 ? 'value out of range' : undefined) : 'invalid syntax';
  if (reason !== undefined) return { status: 500, text: `strconv.ParseUint: parsing ${JSON.stringify(port)}: ${reason}` };
  if (parseIpv4(ip) !== undefined) return { ip, port: Number(port) };
  if (hasIpv6 && IpAddress.parse(ip) !== undefined) return { ip: `[${ip}]`, port: Number(port) };
  return { status: 400, text: `ip must be the ${hasIpv6 ? 'IP' : 'IPv4'} address of a guest, not ${JSON.stringify(ip)}` };
}

/** Frames begin at once, in both directions; nothing is answered. `rest` came behind the request. `name` is for the log. Throws when there can be no other VM; then the connection is closed. */
export function connectVm(
  network: Pick<VirtualNetwork, 'attachSocket'>,
  socket: Socket,
  rest: Buffer,
  name: string,
  target: ConnectTarget,
): void {
  if (!network.attachSocket(socket, rest, name, target)) throw new Error('there is no room for another VM');
}

/**
 * `OK`, then the guest's bytes. The client is told so before the guest is asked, as gvproxy does: a guest that refuses looks like
 * one that closes at once. Rejects with the dial's error; then the connection is closed.
 */
export async function tunnel(network: Pick<VirtualNetwork, 'dial'>, socket: Duplex, rest: Buffer, target: TunnelTarget): Promise<void> {
  const abort = new AbortController();
  const gone = (): void => abort.abort(new Error('the client has gone'));
  socket.on('error', () => {});
  socket.once('close', gone);
  socket.write('OK');
  if (rest.length > 0) socket.unshift(rest);
  try {
    const guest = await network.dial(target.ip, target.port, { signal: abort.signal });
    socket.off('close', gone);
    splice(socket, guest);
  } catch (error) {
    // What the client sends meanwhile is read and dropped: a connection closed over unread bytes is reset, and `OK` with it.
    socket.resume();
    socket.end();
    const timer = setTimeout(() => socket.destroy(), LINGER).unref();
    socket.once('close', () => clearTimeout(timer));
    throw error;
  }
}
