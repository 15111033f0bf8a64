/**
 * Network interfaces of this process's network namespace: what `ip link`, `ip address` and `ip route` do for gvforwarder, by
 * ioctl (netdevice(7)), since the programs need not be there. All changes need CAP_NET_ADMIN.
 */
import { readFileSync } from 'node:fs';
import { AF_INET, SOCK_CLOEXEC, SOCK_DGRAM } from './constants.ts';
import { EADDRNOTAVAIL, EEXIST, EINVAL, ENODEV, EPERM } from './errno.ts';
import { check, SystemError } from './error.ts';
import { IFREQ, RTENTRY } from './layout.ts';
import { writePointer } from './memory.ts';
import { addressOf, close, ioctl, socket } from './syscalls.ts';

const SIOCADDRT = 0x890b;
const SIOCGIFFLAGS = 0x8913;
const SIOCSIFFLAGS = 0x8914;
const SIOCSIFADDR = 0x8916;
const SIOCSIFNETMASK = 0x891c;
const SIOCSIFMTU = 0x8922;
const SIOCSIFHWADDR = 0x8924;
const SIOCGIFHWADDR = 0x8927;

const IFF_UP = 1;
const ARPHRD_ETHER = 1;
const RTF_UP = 1;
const RTF_GATEWAY = 2;

/** Bytes of a name, without the zero. */
const NAME_LIMIT = 15;
const MAC_LENGTH = 6;

const ADVICE: ReadonlyMap<number, string> = new Map([
  [EPERM, 'needs CAP_NET_ADMIN: run it as root'],
  [ENODEV, 'there is no such interface'],
]);

/** Names of all interfaces, whether they are up or not. */
export function interfaceNames(): string[] {
  // Not /sys/class/net: that shows the namespace in which it was mounted.
  const lines = readFileSync('/proc/net/dev', 'utf8').split('\n').slice(2);
  return lines.flatMap((line) => /^\s*([^:\s]+):/.exec(line)?.[1] ?? []);
}

/** Addresses are IPv4 words in network order, 0x7f000001 for 127.0.0.1. Everything throws SystemError. */
export class NetworkInterface {
  readonly name: string;
  readonly #fd: number;
  readonly #request: ArrayBuffer = new ArrayBuffer(IFREQ.size);
  readonly #view: DataView = new DataView(this.#request);

  constructor(name: string) {
    const text = Buffer.from(name);
    if (text.length === 0 || text.length > NAME_LIMIT) {
      throw new SystemError('ioctl', EINVAL, { address: name, advice: `an interface's name has 1 to ${NAME_LIMIT} bytes` });
    }
    this.name = name;
    this.#fd = check(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), 'socket');
    new Uint8Array(this.#request).set(text);
  }

  /** Six bytes. */
  get mac(): Uint8Array {
    this.#call('SIOCGIFHWADDR', SIOCGIFHWADDR);
    return new Uint8Array(this.#request.slice(IFREQ.value + 2, IFREQ.value + 2 + MAC_LENGTH));
  }

  set mac(bytes: Uint8Array) {
    this.#clear();
    this.#view.setUint16(IFREQ.value, ARPHRD_ETHER, true);
    new Uint8Array(this.#request).set(bytes.subarray(0, MAC_LENGTH), IFREQ.value + 2);
    this.#call('SIOCSIFHWADDR', SIOCSIFHWADDR);
  }

  up(): void {
    this.#setFlags((flags) => flags | IFF_UP);
  }

  down(): void {
    this.#setFlags((flags) => flags & ~IFF_UP);
  }

  #setFlags(change: (flags: number) => number): void {
    this.#call('SIOCGIFFLAGS', SIOCGIFFLAGS);
    this.#view.setUint16(IFREQ.value, change(this.#view.getUint16(IFREQ.value, true)), true);
    this.#call('SIOCSIFFLAGS', SIOCSIFFLAGS);
  }

  /** Bytes of the largest IP packet. */
  setMtu(bytes: number): void {
    this.#clear();
    this.#view.setInt32(IFREQ.value, bytes, true);
    this.#call('SIOCSIFMTU', SIOCSIFMTU);
  }

  /** Replaces the address that was set before; routes through it go. Mask 0: that of the address's class. */
  setAddress(address: number, mask: number): void {
    this.#setWord('SIOCSIFADDR', SIOCSIFADDR, address);
    if (mask !== 0) this.#setWord('SIOCSIFNETMASK', SIOCSIFNETMASK, mask);
  }

  /** No error when there is none. */
  removeAddress(): void {
    this.#clear();
    this.#view.setUint16(IFREQ.value, AF_INET, true);
    const answer = ioctl(this.#fd, SIOCSIFADDR, addressOf(this.#request));
    if (answer !== -EADDRNOTAVAIL) this.#check('SIOCSIFADDR', answer);
  }

  #setWord(call: string, request: number, word: number): void {
    this.#clear();
    this.#view.setUint16(IFREQ.value, AF_INET, true);
    this.#view.setInt32(IFREQ.value + 4, word);
    this.#call(call, request);
  }

  /** No error when it is there. */
  addDefaultRoute(gateway: number): void {
    const route = new ArrayBuffer(RTENTRY.size);
    const view = new DataView(route);
    for (const at of [RTENTRY.destination, RTENTRY.gateway, RTENTRY.mask]) view.setUint16(at, AF_INET, true);
    view.setInt32(RTENTRY.gateway + 4, gateway);
    view.setUint16(RTENTRY.flags, RTF_UP | RTF_GATEWAY, true);
    // The name at the beginning of the request, which ends in zeros.
    writePointer(new Uint32Array(route), RTENTRY.device, addressOf(this.#request));
    this.#clear();
    const answer = ioctl(this.#fd, SIOCADDRT, addressOf(route));
    if (answer !== -EEXIST) this.#check('SIOCADDRT', answer);
  }

  #clear(): void {
    new Uint8Array(this.#request).fill(0, IFREQ.value);
  }

  #call(call: string, request: number): void {
    this.#check(call, ioctl(this.#fd, request, addressOf(this.#request)));
  }

  #check(call: string, answer: number): void {
    const advice = ADVICE.get(-answer);
    check(answer, call, { address: this.name, ...(advice !== undefined && { advice }) });
  }

  close(): void {
    close(this.#fd);
  }
}
