/** What the kernel gives this user, tried out. */
import {
  AF_INET,
  AF_INET6,
  AF_VSOCK,
  IPPROTO_ICMP,
  SO_PEEK_OFF,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_RAW,
  SOCK_STREAM,
  SOL_SOCKET,
} from '../../system/constants.ts';
import { addressOf, close, load, setsockopt, socket } from '../../system/syscalls.ts';
import type { Host } from './doctor-checks.ts';

/** Undefined: system calls can be made. */
export function whyNoCalls(): string | undefined {
  try {
    load();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

export const TRIALS: Readonly<Record<Parameters<Host['tries']>[0], () => boolean>> = {
  ping: () => canOpen(AF_INET, SOCK_DGRAM, IPPROTO_ICMP),
  'raw ping': () => canOpen(AF_INET, SOCK_RAW, IPPROTO_ICMP),
  vsock: () => canOpen(AF_VSOCK, SOCK_STREAM, 0),
  'peek offset': () => canOpen(AF_INET, SOCK_STREAM, 0, peeksAtOffset),
  // Where there is no IPv6 there is nothing to miss.
  'peek offset of IPv6': () => !canOpen(AF_INET6, SOCK_STREAM, 0) || canOpen(AF_INET6, SOCK_STREAM, 0, peeksAtOffset),
};

function canOpen(family: number, type: number, protocol: number, and: (fd: number) => boolean = () => true): boolean {
  const fd = socket(family, type | SOCK_CLOEXEC, protocol);
  if (fd < 0) return false;
  try {
    return and(fd);
  } finally {
    close(fd);
  }
}

function peeksAtOffset(fd: number): boolean {
  const zero = new Int32Array(new ArrayBuffer(4));
  return setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, addressOf(zero.buffer), 4) === 0;
}
