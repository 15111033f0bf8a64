/**
 * Lets a raw ICMP socket see the replies to its own requests only (a classic BPF program, socket(7)). Without it each of
 * many raw sockets would be woken for every echo reply of the host.
 */
import { SO_ATTACH_FILTER, SOL_SOCKET } from '../system/constants.ts';
import { SOCK_FILTER, SOCK_FPROG } from '../system/layout.ts';
import { writePointer } from '../system/memory.ts';
import { setsockopt } from '../system/syscalls.ts';
import type { KernelMemory } from './kernel-memory.ts';

/** Where the message begins: behind IPv4's header, which raw sockets of IPv6 don't deliver. */
const LOAD_HEADER_LENGTH = 0xb1;
const LOAD_NUMBER = 0x01;
const LOAD_HALF = 0x48;
const LOAD_BYTE = 0x50;
const JUMP_EQUAL = 0x15;
const RETURN = 0x06;
const EVERYTHING = 0xffffffff;
const ECHO_REPLY = 0;
const ECHO_REPLY_6 = 129;

/** Returns 0 or a negative errno. */
export function attachReplyFilter(fd: number, isIpv4: boolean, identifier: number, memory: KernelMemory): number {
  const { arena, base, value } = memory;
  const program: [code: number, whenTrue: number, whenFalse: number, operand: number][] = [
    [isIpv4 ? LOAD_HEADER_LENGTH : LOAD_NUMBER, 0, 0, 0],
    [LOAD_BYTE, 0, 0, 0],
    [JUMP_EQUAL, 0, 3, isIpv4 ? ECHO_REPLY : ECHO_REPLY_6],
    [LOAD_HALF, 0, 0, 4],
    [JUMP_EQUAL, 0, 1, identifier],
    [RETURN, 0, 0, EVERYTHING],
    [RETURN, 0, 0, 0],
  ];
  const instructions = value + SOCK_FPROG.size;
  program.forEach(([code, whenTrue, whenFalse, operand], i) => {
    const at = (instructions + i * SOCK_FILTER) >> 2;
    arena.words[at] = code | (whenTrue << 16) | (whenFalse << 24);
    arena.words[at + 1] = operand;
  });
  arena.words[value >> 2] = program.length;
  writePointer(arena.words, value + SOCK_FPROG.filter, base + instructions);
  return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, base + value, SOCK_FPROG.size);
}
