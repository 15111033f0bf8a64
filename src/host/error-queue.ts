/**
 * Reads the error queues of sockets (IP_RECVERR, ip(7), and IPV6_RECVERR, ipv6(7)): what routers and peers said about datagrams by ICMP, and what the
 * host itself refused, each with the payload it is about.
 *
 *     recvmsg(MSG_ERRQUEUE) ─► payload, and as control message: sock_extended_err + sockaddr of who reported
 */
import {
  IP_RECVERR,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPV6_RECVERR,
  MSG_DONTWAIT,
  MSG_ERRQUEUE,
  SO_EE_ORIGIN_ICMP,
  SO_EE_ORIGIN_ICMP6,
  SO_EE_ORIGIN_LOCAL,
} from '../system/constants.ts';
import { EMSGSIZE } from '../system/errno.ts';
import { CMSGHDR, EXTENDED_ERROR, IOVEC, MSGHDR } from '../system/layout.ts';
import { readSockaddr, writeIovec, writePointer } from '../system/memory.ts';
import { recvmsg, setsockopt } from '../system/syscalls.ts';
import { IpAddress } from '../packet/address.ts';
import type { DatagramReport } from './endpoint.ts';
import type { KernelMemory } from './kernel-memory.ts';

/** One report with an IPv6 address takes 60 bytes. */
const CONTROL = 128;

export class ErrorQueue {
  readonly #memory: KernelMemory;
  readonly #header: number;
  readonly #iovec: number;
  readonly #control: number;

  constructor(memory: KernelMemory) {
    this.#memory = memory;
    const { arena, base } = memory;
    this.#header = arena.allocate(MSGHDR.size + IOVEC.size + CONTROL);
    this.#iovec = this.#header + MSGHDR.size;
    this.#control = this.#iovec + IOVEC.size;
    arena.bytes.fill(0, this.#header, this.#control + CONTROL);
    writePointer(arena.words, this.#header + MSGHDR.iov, base + this.#iovec);
    writePointer(arena.words, this.#header + MSGHDR.iovCount, 1);
    writePointer(arena.words, this.#header + MSGHDR.control, base + this.#control);
  }

  /** Has the kernel keep reports for this socket. Without, it has only the last error, and of the fatal ones. */
  enable(fd: number, isIpv4: boolean): void {
    setsockopt(fd, isIpv4 ? IPPROTO_IP : IPPROTO_IPV6, isIpv4 ? IP_RECVERR : IPV6_RECVERR, this.#memory.int(1), 4);
  }

  /** See DatagramEndpoint.nextReport. */
  next(fd: number, report: DatagramReport, at: number, size: number): boolean {
    const { arena, base } = this.#memory;
    writeIovec(arena.words, this.#iovec, base + at, size);
    writePointer(arena.words, this.#header + MSGHDR.controlLength, CONTROL);
    const length = recvmsg(fd, base + this.#header, MSG_ERRQUEUE | MSG_DONTWAIT);
    if (length < 0) return false;
    report.errno = 0;
    report.type = -1;
    report.code = report.mtu = 0;
    report.offender = null;
    report.length = length;
    const filled = arena.words[(this.#header + MSGHDR.controlLength) >> 2]!;
    if (filled >= CMSGHDR.size + EXTENDED_ERROR.size) this.#read(report);
    return true;
  }

  #read(report: DatagramReport): void {
    const { bytes, words } = this.#memory.arena;
    const header = this.#control;
    const level = words[(header + CMSGHDR.level) >> 2];
    const type = words[(header + CMSGHDR.type) >> 2];
    if (!(level === IPPROTO_IP && type === IP_RECVERR) && !(level === IPPROTO_IPV6 && type === IPV6_RECVERR)) return;
    const error = header + CMSGHDR.size;
    const origin = bytes[error + EXTENDED_ERROR.origin];
    if (origin !== SO_EE_ORIGIN_LOCAL && origin !== SO_EE_ORIGIN_ICMP && origin !== SO_EE_ORIGIN_ICMP6) return;
    report.errno = words[(error + EXTENDED_ERROR.errno) >> 2]!;
    if (report.errno === EMSGSIZE) report.mtu = words[(error + EXTENDED_ERROR.info) >> 2]!;
    if (origin === SO_EE_ORIGIN_LOCAL) return;
    report.type = bytes[error + EXTENDED_ERROR.type]!;
    report.code = bytes[error + EXTENDED_ERROR.code]!;
    const offender = error + EXTENDED_ERROR.offender;
    const address = readSockaddr(bytes, offender);
    if (address !== undefined) report.offender = new IpAddress(...address.words);
  }
}
