/**
 * Struct layouts of Linux on 64-bit machines, in one place, and the proof at start-up that they are right.
 *
 * Pointers are written as two 32-bit words: little-endian machines only, which x64 and arm64 Linux are.
 */
import { SystemError } from './error.ts';
import { EINVAL } from './errno.ts';

/** struct iovec: base, length. */
export const IOVEC = { size: 16, base: 0, length: 8 } as const;

/** struct msghdr: name, namelen, iov, iovlen, control, controllen, flags. */
export const MSGHDR = { size: 56, name: 0, nameLength: 8, iov: 16, iovCount: 24, control: 32, controlLength: 40, flags: 48 } as const;

/** struct mmsghdr: a msghdr and the number of bytes transferred. */
export const MMSGHDR = { size: 64, length: 56 } as const;

/** struct cmsghdr: length, level, type; its data stands behind it. */
export const CMSGHDR = { size: 16, level: 8, type: 12 } as const;

/** struct in_pktinfo: interface, local address, destination address; struct in6_pktinfo: destination address, interface. */
export const IN_PKTINFO = { size: 12, local: 4 } as const;
export const IN6_PKTINFO = { size: 20, local: 0 } as const;

/** struct sock_extended_err, and the address of who reported, a sockaddr behind it (SO_EE_OFFENDER). */
export const EXTENDED_ERROR = { size: 16, errno: 0, origin: 4, type: 5, code: 6, info: 8, offender: 16 } as const;

/** struct epoll_event is packed on x64 only. */
export const EPOLL_EVENT: { readonly size: number; readonly events: number; readonly data: number } =
  process.arch === 'x64' ? { size: 12, events: 0, data: 4 } : { size: 16, events: 0, data: 8 };

/** struct sock_fprog: instruction count, pointer; size of struct sock_filter: code, jump offsets, operand. */
export const SOCK_FPROG = { size: 16, filter: 8 } as const;
export const SOCK_FILTER = 8;

/** struct ifreq: a name of 16 bytes, then what the request wants. */
export const IFREQ = { size: 40, value: 16 } as const;

/** struct rtentry: destination, gateway and mask as sockaddrs, flags, name of the device. */
export const RTENTRY = { size: 120, destination: 8, gateway: 24, mask: 40, flags: 56, device: 88 } as const;

/** struct sockaddr_in, sockaddr_in6, sockaddr_un: sizes. */
export const SOCKADDR_IN = 16;
export const SOCKADDR_IN6 = 28;
export const SOCKADDR_UN = 110;

/** struct sockaddr_vm: family, reserved, port, context id (native byte order), flags. */
export const SOCKADDR_VM = { size: 16, port: 4, cid: 8 } as const;

/** What koffi knows of C layout; passed in so that importing this file loads nothing. */
export interface CLayout {
  struct(members: Record<string, string | [number, string]>): unknown;
  pack(members: Record<string, string | [number, string]>): unknown;
  sizeof(type: unknown): number;
  offsetof(type: unknown, member: string): number;
}

/** Compares the numbers above with what the C compiler's rules give on this machine. Throws SystemError on a difference. */
export function selfTest(c: CLayout): void {
  const iovec = c.struct({ base: 'void *', length: 'size_t' });
  const msghdr = c.struct({
    name: 'void *',
    nameLength: 'uint32_t',
    iov: 'void *',
    iovCount: 'size_t',
    control: 'void *',
    controlLength: 'size_t',
    flags: 'int',
  });
  const cmsghdr = c.struct({ length: 'size_t', level: 'int', type: 'int' });
  const extendedError = c.struct({
    errno: 'uint32_t',
    origin: 'uint8_t',
    type: 'uint8_t',
    code: 'uint8_t',
    pad: 'uint8_t',
    info: 'uint32_t',
    data: 'uint32_t',
  });
  const event = { events: 'uint32_t', data: 'uint64_t' };
  const epollEvent = process.arch === 'x64' ? c.pack(event) : c.struct(event);
  const program = c.struct({ length: 'uint16_t', filter: 'void *' });
  const sockaddrVm = c.struct({ family: 'uint16_t', reserved: 'uint16_t', port: 'uint32_t', cid: 'uint32_t', flags: 'uint8_t' });
  const rtentry = c.struct({
    pad1: 'unsigned long',
    destination: 'uint64_t',
    destinationZero: 'uint64_t',
    gateway: 'uint64_t',
    gatewayZero: 'uint64_t',
    mask: 'uint64_t',
    maskZero: 'uint64_t',
    flags: 'uint16_t',
    pad2: 'int16_t',
    pad3: 'unsigned long',
    pad4: 'void *',
    metric: 'int16_t',
    device: 'void *',
    mtu: 'unsigned long',
    window: 'unsigned long',
    irtt: 'uint16_t',
  });
  const facts: [name: string, ours: number, theirs: number][] = [
    ['iovec', IOVEC.size, c.sizeof(iovec)],
    ['iovec.length', IOVEC.length, c.offsetof(iovec, 'length')],
    ['msghdr', MSGHDR.size, c.sizeof(msghdr)],
    ['msghdr.iov', MSGHDR.iov, c.offsetof(msghdr, 'iov')],
    ['msghdr.iovCount', MSGHDR.iovCount, c.offsetof(msghdr, 'iovCount')],
    ['msghdr.controlLength', MSGHDR.controlLength, c.offsetof(msghdr, 'controlLength')],
    ['msghdr.flags', MSGHDR.flags, c.offsetof(msghdr, 'flags')],
    ['cmsghdr', CMSGHDR.size, c.sizeof(cmsghdr)],
    ['cmsghdr.type', CMSGHDR.type, c.offsetof(cmsghdr, 'type')],
    ['sock_extended_err', EXTENDED_ERROR.size, c.sizeof(extendedError)],
    ['sock_extended_err.code', EXTENDED_ERROR.code, c.offsetof(extendedError, 'code')],
    ['sock_extended_err.info', EXTENDED_ERROR.info, c.offsetof(extendedError, 'info')],
    ['sock_fprog', SOCK_FPROG.size, c.sizeof(program)],
    ['sock_fprog.filter', SOCK_FPROG.filter, c.offsetof(program, 'filter')],
    ['sockaddr_vm', SOCKADDR_VM.size, c.sizeof(sockaddrVm)],
    ['sockaddr_vm.port', SOCKADDR_VM.port, c.offsetof(sockaddrVm, 'port')],
    ['sockaddr_vm.cid', SOCKADDR_VM.cid, c.offsetof(sockaddrVm, 'cid')],
    ['rtentry', RTENTRY.size, c.sizeof(rtentry)],
    ['rtentry.gateway', RTENTRY.gateway, c.offsetof(rtentry, 'gateway')],
    ['rtentry.flags', RTENTRY.flags, c.offsetof(rtentry, 'flags')],
    ['rtentry.device', RTENTRY.device, c.offsetof(rtentry, 'device')],
    ['epoll_event', EPOLL_EVENT.size, c.sizeof(epollEvent)],
    ['epoll_event.data', EPOLL_EVENT.data, c.offsetof(epollEvent, 'data')],
  ];
  for (const [name, ours, theirs] of facts) {
    if (ours !== theirs) {
      throw new SystemError('layout', EINVAL, { address: name, advice: `expected ${ours}, this machine has ${theirs}: please report it` });
    }
  }
}
