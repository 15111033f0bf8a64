/**
 * Frames in UDP datagrams: QEMU's `-netdev dgram` over inet and `-netdev socket,udp=…` between two addresses, and `socket,mcast=…`,
 * whose members are all behind one port. One datagram is one frame; whatever the host's queues don't hold is lost.
 */
import { IpAddress } from '../packet/address.ts';
import { setU32 } from '../packet/bytes.ts';
import {
  AF_INET,
  AF_INET6,
  IP_ADD_MEMBERSHIP,
  IP_MULTICAST_IF,
  IP_MULTICAST_LOOP,
  IPPROTO_IP,
  SO_RCVBUF,
  SO_REUSEADDR,
  SO_SNDBUF,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOL_SOCKET,
} from '../system/constants.ts';
import { EINVAL, ENODEV } from '../system/errno.ts';
import { check, SystemError, type SystemErrorContext } from '../system/error.ts';
import { readSockaddr, writeSockaddr } from '../system/memory.ts';
import { setOption } from '../system/socket-options.ts';
import { addressOf, bindSocket, close, connect, getsockname, setsockopt, socket } from '../system/syscalls.ts';
import type { LinkEnvironment } from './link.ts';
import { MessageLink } from './message-link.ts';
import { LOSE } from './message-port.ts';
import { MessageRegion } from './message-region.ts';

/** Asked of the kernel; it grants what its limits allow. */
const BUFFER = 4 << 20;
/** Bytes of a sockaddr_in that say who sent: family, port, address. */
const SOURCE = 8;

const LENGTH_AT = 128;
const scratch: Uint8Array<ArrayBuffer> = new Uint8Array(new ArrayBuffer(LENGTH_AT + 8));

export interface Place {
  readonly address: IpAddress;
  readonly port: number;
}

export interface UdpDgramSpec {
  /** Our address; port 0 is any free one. */
  readonly local: Place;
  /** QEMU's: what others send is not heard. */
  readonly remote: Place;
  /** See PortNames. */
  readonly name?: string;
}

export interface MulticastSpec {
  /** An IPv4 group and its port. */
  readonly group: Place;
  /** IPv4 address of the host's interface that the group is joined on; by default what the routes say. */
  readonly interface?: IpAddress;
  /** See PortNames. */
  readonly name?: string;
}

/** An errno is never a reason to end: it is an ICMP message's, or the frame was too large for a datagram. */
const TRAITS = { offload: false, largestFrame: 0, refusal: (): number => LOSE, survives: (): boolean => true };

/** Throws SystemError; RangeError when the arena is full. */
export function openUdpDgram(spec: UdpDgramSpec, environment: LinkEnvironment): MessageLink {
  MessageRegion.of(environment.arena);
  const fd = bound(spec.local, (socket) => connectTo(socket, spec.remote, {}));
  return MessageLink.attach(
    { ...TRAITS, address: `udp://${textOf(nameOf(fd))}`, peer: textOf(spec.remote), name: spec.name, fd },
    environment,
  );
}

/** Joins the group. What we send comes back to us, and is known by the address and port of the socket that sends. Throws as above. */
export function openMulticast(spec: MulticastSpec, environment: LinkEnvironment): MessageLink {
  const { group } = spec;
  const place = textOf(group);
  if (!isGroup(group.address)) {
    throw new SystemError('bind', EINVAL, { address: place, advice: 'not an IPv4 multicast group: 224.0.0.0 to 239.255.255.255' });
  }
  MessageRegion.of(environment.arena);
  const fd = bound(group, (socket) => join(socket, spec));
  let sender: number;
  try {
    sender = senderTo(spec);
  } catch (error) {
    close(fd);
    throw error;
  }
  nameOf(sender);
  const source = scratch.slice(0, SOURCE);
  const isOwn = (region: MessageRegion, index: number): boolean => region.isFrom(index, source);
  return MessageLink.attach({ ...TRAITS, address: `mcast://${place}`, peer: place, name: spec.name, fd, sender, isOwn }, environment);
}

function senderTo({ group, interface: own }: MulticastSpec): number {
  return bound({ address: own ?? IpAddress.v4(0), port: 0 }, (fd) => {
    setOption(fd, IPPROTO_IP, IP_MULTICAST_LOOP, 1);
    if (own !== undefined) check(setAddresses(fd, IP_MULTICAST_IF, own), 'IP_MULTICAST_IF', { address: own.toString(), ...NO_WAY });
    connectTo(fd, group, own === undefined ? NO_WAY : {});
  });
}

function join(fd: number, { group, interface: own = IpAddress.v4(0) }: MulticastSpec): void {
  const status = setAddresses(fd, IP_ADD_MEMBERSHIP, group.address, own);
  check(status, 'IP_ADD_MEMBERSHIP', { address: textOf(group), ...(status === -ENODEV ? NO_WAY : {}) });
}

const NO_WAY: SystemErrorContext = { advice: 'no interface leads to the group, or has this address: name the address of one' };

/** A socket at `place`, after `prepare`. */
function bound(place: Place, prepare: (fd: number) => void): number {
  const context = { address: place.address.toString(), port: place.port, transport: 'udp' };
  const fd = check(socket(place.address.isIpv4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), 'socket', context);
  try {
    setOption(fd, SOL_SOCKET, SO_SNDBUF, BUFFER);
    setOption(fd, SOL_SOCKET, SO_RCVBUF, BUFFER);
    if (isGroup(place.address)) setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    check(bindSocket(fd, addressOf(scratch.buffer), write(place)), 'bind', context);
    prepare(fd);
    return fd;
  } catch (error) {
    close(fd);
    throw error;
  }
}

function connectTo(fd: number, place: Place, context: SystemErrorContext): void {
  check(connect(fd, addressOf(scratch.buffer), write(place)), 'connect', {
    address: place.address.toString(),
    port: place.port,
    transport: 'udp',
    ...context,
  });
}

/** struct ip_mreq's first address, or both. */
function setAddresses(fd: number, option: number, ...addresses: IpAddress[]): number {
  addresses.forEach(({ w3 }, i) => setU32(scratch, i * 4, w3));
  return setsockopt(fd, IPPROTO_IP, option, addressOf(scratch.buffer), addresses.length * 4);
}

function write({ address: { w0, w1, w2, w3 }, port }: Place): number {
  return writeSockaddr(scratch, 0, w0, w1, w2, w3, port);
}

/** Where `fd` is bound; left in the scratch memory, too. */
function nameOf(fd: number): Place {
  new DataView(scratch.buffer).setUint32(LENGTH_AT, LENGTH_AT, true);
  const address = addressOf(scratch.buffer);
  check(getsockname(fd, address, address + LENGTH_AT), 'getsockname');
  const { words, port } = readSockaddr(scratch, 0)!;
  return { address: new IpAddress(...words), port };
}

function isGroup(address: IpAddress): boolean {
  return address.isIpv4 && address.w3 >>> 28 === 0xe;
}

function textOf({ address, port }: Place): string {
  const text = address.toString();
  return text.includes(':') ? `[${text}]:${port}` : `${text}:${port}`;
}
