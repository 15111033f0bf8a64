/** Forwards as people write them: `[PROTOCOL:][ADDRESS:]PORT:[GUEST:]PORT`. */
import { isIP } from 'node:net';
import type { NetworkAddresses } from '../../config/subnet6.ts';
import type { ForwardRequest } from '../../forward/forward.ts';
import { usageError } from './command.ts';

export interface ForwardPlace {
  readonly protocol: 'tcp' | 'udp';
  /** `127.0.0.1:8080`, `127.0.0.1:8000-8010`. */
  readonly local: string;
}

export interface WantedForward extends ForwardPlace {
  /** Undefined: the first VM's. */
  readonly guest: string | undefined;
  /** A port or a range. */
  readonly guestPorts: string;
}

const PORTS = String.raw`\d{1,5}(?:-\d{1,5})?`;
/** A name, an IPv4 address, or an IPv6 address in brackets; empty for every address. */
const HOST = String.raw`\[[^\]]*\]|[^:[\]]*`;
const PLACE = new RegExp(`^(?:(tcp|udp):)?(?:(${HOST}):)?(${PORTS})$`);
const GUEST_PLACE = new RegExp(`^(?:(${HOST}):)?(${PORTS})$`);

/** The host's side alone. Throws CommandError. */
export function parseForwardPlace(text: string): ForwardPlace {
  return place(text) ?? refuse(text, '8080, udp:5353 or 0.0.0.0:8000-8010');
}

/** Throws CommandError. */
export function parseForward(text: string): WantedForward {
  // Which colon is between host and guest is seen from what makes sense on both sides.
  for (let at = text.length; (at = text.lastIndexOf(':', at - 1)) > 0;) {
    const local = place(text.slice(0, at));
    const [, guest, guestPorts] = GUEST_PLACE.exec(text.slice(at + 1)) ?? [];
    if (local === undefined || guestPorts === undefined || guest === '' || !arePorts(guestPorts)) continue;
    if (guest !== undefined && isIP(guest.replace(/^\[(.*)\]$/, '$1')) === 0)
      throw usageError(`${JSON.stringify(guest)} is no address of a guest: want one such as 192.168.127.3`);
    return { ...local, guest, guestPorts };
  }
  return refuse(text, '8080:80, udp:5353:53, 0.0.0.0:8000-8010:9000-9010 or 8080:192.168.127.3:80');
}

/** Where no guest is named it is the first VM's, in the version of IP that guests have. */
export function requestOf({ protocol, local, guest, guestPorts }: WantedForward, addresses: NetworkAddresses): ForwardRequest {
  const { deviceIP, deviceIP6, ipv4 } = addresses;
  const device = ipv4 === false ? `[${deviceIP6}]` : deviceIP;
  return { protocol, local, remote: `${guest ?? device}:${guestPorts}` };
}

function place(text: string): ForwardPlace | undefined {
  const [, protocol, host = '127.0.0.1', ports] = PLACE.exec(text) ?? [];
  return ports === undefined || !arePorts(ports) ? undefined : { protocol: protocol === 'udp' ? 'udp' : 'tcp', local: `${host}:${ports}` };
}

function arePorts(range: string): boolean {
  return range.split('-').every((port) => Number(port) <= 0xffff);
}

function refuse(text: string, wanted: string): never {
  throw usageError(`${JSON.stringify(text)} can't be read as a forward: want ${wanted}`);
}
