/**
 * TAP devices: a network interface of the host, or of the guest, whose frames a program reads and writes, one for each call.
 *
 * With `offload` the interface gives and takes TCP segments larger than its MTU, and checksums that are not finished: 12 bytes of
 * virtio-net header (virtio 1.2 §5.1.6) stand in front of each frame, both ways.
 */
import { closeSync, constants, openSync } from 'node:fs';
import { EACCES, EBUSY, EINVAL, ENODEV, ENOENT, ENXIO, EPERM } from './errno.ts';
import { check, SystemError } from './error.ts';
import { addressOf, ioctl } from './syscalls.ts';

const DEVICE = '/dev/net/tun';

// linux/if_tun.h
const TUNSETIFF = 0x400454ca;
const TUNSETOFFLOAD = 0x400454d0;
const TUNSETVNETHDRSZ = 0x400454d8;
const IFF_TAP = 0x0002;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;
const TUN_F_CSUM = 0x01;
const TUN_F_TSO4 = 0x02;
const TUN_F_TSO6 = 0x04;

/** struct ifreq: a name, then what the request wants. */
const IFREQ = { size: 40, flags: 16 } as const;
/** Bytes of an interface's name: IFNAMSIZ without the zero. */
const NAME_LIMIT = 15;
/** Bytes of the header in front of each frame of a device with `offload`. */
const VNET_HEADER = 12;

export interface TapDevice {
  /** Nonblocking, closed when a program is started; the caller's to close, which removes the interface unless it is persistent. */
  readonly fd: number;
  /** Of the interface: what was asked for, its `%d` replaced by the number that the kernel chose. */
  readonly name: string;
}

/** Whether the kernel takes this as the name of an interface. */
export function isInterfaceName(name: string): boolean {
  const { length } = Buffer.from(name);
  return length > 0 && length <= NAME_LIMIT && !/[/:\s\0]/.test(name);
}

/** Makes the interface `name`, or attaches to the one there is. Bringing it up is the caller's. Throws SystemError. */
export function openTap(name: string, offload: boolean): TapDevice {
  if (!isInterfaceName(name)) {
    throw new SystemError('open', EINVAL, { address: name, advice: `an interface's name has 1 to ${NAME_LIMIT} bytes, without / and :` });
  }
  const fd = openDevice(name);
  try {
    const given = attach(fd, name, Buffer.from(name), offload);
    const size = new Uint32Array([VNET_HEADER]);
    if (offload) check(ioctl(fd, TUNSETVNETHDRSZ, addressOf(size.buffer)), 'TUNSETVNETHDRSZ', { address: given });
    // Always: a persistent interface keeps what its last program took.
    check(ioctl(fd, TUNSETOFFLOAD, offload ? TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 : 0), 'TUNSETOFFLOAD', { address: given });
    return { fd, name: given };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function openDevice(name: string): number {
  try {
    return openSync(DEVICE, constants.O_RDWR | constants.O_NONBLOCK);
  } catch (error) {
    const errno = -(error as NodeJS.ErrnoException).errno!;
    throw new SystemError('open', errno, { address: DEVICE, ...advice(OPENING, errno, name) });
  }
}

function attach(fd: number, name: string, text: Uint8Array, offload: boolean): string {
  const request = new Uint8Array(new ArrayBuffer(IFREQ.size));
  request.set(text);
  const flags = IFF_TAP | IFF_NO_PI | (offload ? IFF_VNET_HDR : 0);
  request[IFREQ.flags] = flags;
  request[IFREQ.flags + 1] = flags >>> 8;
  const answer = ioctl(fd, TUNSETIFF, addressOf(request.buffer as ArrayBuffer));
  if (answer < 0) throw new SystemError('TUNSETIFF', -answer, { address: name, ...advice(ATTACHING, -answer, name) });
  return Buffer.from(request.subarray(0, request.indexOf(0))).toString();
}

const NO_DRIVER = 'the kernel has no TUN/TAP driver here: modprobe tun, or give the container --device /dev/net/tun';
const OPENING: ReadonlyMap<number, string> = new Map([
  [ENOENT, NO_DRIVER],
  [ENODEV, NO_DRIVER],
  [ENXIO, NO_DRIVER],
  [EACCES, 'this user may not open it: chmod 0666 /dev/net/tun, as distributions have it'],
  [EPERM, 'this process may not open it: give the container --device /dev/net/tun'],
]);
const ATTACHING: ReadonlyMap<number, string> = new Map([
  [EPERM, 'needs CAP_NET_ADMIN, or an interface made for this user: ip tuntap add dev NAME mode tap user USER'],
  [EBUSY, 'another program has the interface'],
  [EINVAL, 'there is an interface of this name that is not a TAP device of one queue'],
]);

function advice(texts: ReadonlyMap<number, string>, errno: number, name: string): { advice?: string } {
  const text = texts.get(errno);
  return text === undefined ? {} : { advice: text.replace('NAME', name) };
}
