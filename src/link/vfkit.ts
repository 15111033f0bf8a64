/**
 * vfkit's and krunkit's unix datagram socket: one datagram is one frame (contract §6.6).
 *
 *     VM 1 ⇄ socket 1        each VM keeps the socket that it has connected to, and the next one finds a new socket at the path:
 *     VM 2 ⇄ socket 2        what a VM doesn't read fills its own socket, and epoll tells when there is room
 *       ?  ─► socket 3 (path)
 *
 * VMs are told apart by the addresses that their sockets are bound to. `VFKT` from an address greets: it is no frame, and from an address
 * that was in use on another socket it tells that the VM has been started anew. A VM that never says so is known by its first frame.
 *
 * Nothing tells of a VM's end; those that are quiet are looked for every two seconds. There are 64 at most, one for each address:
 * a sender beyond is refused until another has gone. Who may send is who may open the socket's file; guests have no part in addresses.
 */
import { SO_RCVBUF, SO_SNDBUF, SOCK_DGRAM, SOL_SOCKET } from '../system/constants.ts';
import { ECONNREFUSED, ENOENT, EPERM, errnoText } from '../system/errno.ts';
import { setOption } from '../system/socket-options.ts';
import { close } from '../system/syscalls.ts';
import { connectDatagram, succeed } from '../system/unix-datagram.ts';
import { bindUnix, type UnixListener } from '../system/unix-listener.ts';
import { Timer } from '../runtime/timer-wheel.ts';
import type { Link, LinkEnvironment } from './link.ts';
import { losslessRefusal, type MessagePort } from './message-port.ts';
import { MessagePorts } from './message-ports.ts';
import { MessageRegion } from './message-region.ts';
import { MessageSocket, type MessageSocketOwner } from './message-socket.ts';

/** Contract §6.6. */
const SEND_BUFFER = 1 << 20;
const RECEIVE_BUFFER = 4 << 20;
const GREETING: Uint8Array = Buffer.from('VFKT');
/** Shorter than any frame. */
const GREETING_LIMIT = 14;
/** Milliseconds between searches for VMs that have gone. */
const SEARCH = 2000;
/** Milliseconds between complaints. */
const COMPLAINTS = 60_000;
/** sun_family. */
const FAMILY = 2;

export interface VfkitSpec {
  readonly path: string;
  /** A virtio-net header stands in front of each frame (libkrun's NET_FLAG_INCLUDE_VNET_HEADER). */
  readonly offload?: boolean;
  /** Bytes of the largest frame that VMs take; krunkit with offloading=on, without a header, takes LARGEST_FRAME. */
  readonly largestFrame?: number;
  /** See PortNames. */
  readonly name?: string;
}

interface Vm {
  readonly port: MessagePort;
  /** A sockaddr_un. */
  readonly address: Uint8Array;
  /** What its messages come to. */
  home: Home;
  /** For a VM that isn't connected: a socket connected to it. */
  sender: MessageSocket | null;
}

/** Binds at `path`, which must be free. Throws SystemError; RangeError when the arena is full. */
export function openVfkit(spec: VfkitSpec, environment: LinkEnvironment): VfkitListener {
  MessageRegion.of(environment.arena);
  const bound = bindUnix(spec.path, { type: SOCK_DGRAM });
  try {
    return new VfkitListener(bound, spec, environment);
  } catch (error) {
    close(bound.fd);
    bound.remove();
    throw error;
  }
}

export class VfkitListener implements Link {
  readonly address: string;
  readonly #path: string;
  readonly #environment: LinkEnvironment;
  readonly #ports: MessagePorts;
  readonly #vms: Map<MessagePort, Vm> = new Map();
  /** The socket at the path. */
  #door: Home;
  #file: UnixListener;
  readonly #search: Timer = new Timer(() => this.#lookForVms());
  #nameless = 0;
  #complaint = -Infinity;
  #closed = false;

  /** Takes over `bound`, unless it throws. */
  constructor(bound: UnixListener, spec: VfkitSpec, environment: LinkEnvironment) {
    this.address = `unixgram://${spec.path}`;
    this.#path = spec.path;
    this.#environment = environment;
    this.#file = bound;
    this.#door = this.#home(bound.fd);
    const traits = { offload: spec.offload ?? false, largestFrame: spec.largestFrame ?? 0, refusal: losslessRefusal };
    this.#ports = new MessagePorts(environment, traits, spec.name, (port) => this.#gone(port));
  }

  /** Datagrams of senders that found no place or have no address. */
  get refused(): number {
    return this.#ports.refused + this.#nameless;
  }

  #home(fd: number): Home {
    setOption(fd, SOL_SOCKET, SO_SNDBUF, SEND_BUFFER);
    setOption(fd, SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER);
    return new Home(fd, this.#environment, (home, index) => this.#message(home, index));
  }

  #message(home: Home, index: number): void {
    const { region } = home.socket;
    const known = home.last !== null && isFrom(region, index, home.last) ? home.last : this.#vmAt(region, index);
    const greets = isGreeting(this.#environment.arena.bytes, region.at(index), region.length(index));
    const vm = known === null || (greets && known.home !== home) ? this.#newcomer(home, index, known) : known;
    if (vm === null) return;
    if (vm.home !== home && vm.sender === null) this.#move(vm, home);
    if (greets && vm === known) this.#find(vm);
    home.last = vm;
    if (!greets) vm.port.take(home.socket, index);
  }

  #vmAt(region: MessageRegion, index: number): Vm | null {
    for (const vm of this.#vms.values()) if (isFrom(region, index, vm)) return vm;
    return null;
  }

  /** `before`: the VM that had the address. Null when this one is refused. */
  #newcomer(home: Home, index: number, before: Vm | null): Vm | null {
    const { region } = home.socket;
    const length = region.senderLength(index);
    if (length <= FAMILY) {
      this.#nameless++;
      this.#complain('vfkit socket address is empty');
      return null;
    }
    const at = region.senderAt(index);
    const address = this.#environment.arena.bytes.slice(at, at + length);
    const path = Buffer.from(address.subarray(FAMILY)).toString().replace(/\0+$/, '').replace(/^\0/, '@');
    // What has gone already needs no port; and one that can't be sent to would be refused by its first frame.
    const fd = connectDatagram(address);
    if (fd < 0 && fd !== -EPERM) {
      if (!isGone(fd)) this.#complain(`cannot send to ${path}, which is refused: ${errnoText(-fd)}`);
      before?.port.close(`${path} has gone`);
      return null;
    }
    if (this.#ports.isFull) before?.port.close(`${path} was started anew`);
    const port = this.#ports.create(path);
    if (port === null) {
      if (fd >= 0) close(fd);
      this.#complain(`no room for another VM: ${path} is refused`);
      return null;
    }
    const vm: Vm = { port, address, home, sender: null };
    home.vms.add(vm);
    this.#vms.set(port, vm);
    if (fd >= 0) this.#sendThrough(vm, fd);
    else this.#give(home, vm);
    this.#ports.announce(port);
    before?.port.close(`${path} was started anew`);
    if (this.#vms.size === 1) this.#environment.loop.timers.arm(this.#search, SEARCH);
    return vm;
  }

  #sendThrough(vm: Vm, fd: number): void {
    vm.sender?.close();
    vm.sender = new MessageSocket(fd, this.#environment, senderOf(vm), 'sender');
    vm.port.sendThrough(vm.sender, null);
  }

  /** A VM that isn't connected may have another socket at the same address now. */
  #find(vm: Vm): void {
    if (vm.sender === null) return;
    const fd = connectDatagram(vm.address);
    if (fd >= 0) this.#sendThrough(vm, fd);
  }

  /** `home` is the one that `vm` is connected to: the next VM gets another. */
  #give(home: Home, vm: Vm): void {
    vm.port.sendThrough(home.socket, vm.address);
    if (home !== this.#door) return;
    const next = succeed(this.#path, this.#file);
    if (next === null) return;
    this.#file = next;
    this.#door = this.#home(next.fd);
  }

  /** A VM started anew, which doesn't greet, has another socket. */
  #move(vm: Vm, home: Home): void {
    const old = vm.home;
    old.vms.delete(vm);
    vm.home = home;
    home.vms.add(vm);
    this.#give(home, vm);
    this.#leave(old, vm);
  }

  /** Nobody needs a socket that isn't at the path any more and has no VM. */
  #leave(home: Home, vm: Vm): void {
    home.vms.delete(vm);
    if (home.last === vm) home.last = null;
    if (home !== this.#door && home.vms.size === 0) home.socket.close();
  }

  #gone(port: MessagePort): void {
    const vm = this.#vms.get(port)!;
    this.#vms.delete(port);
    vm.sender?.close();
    this.#leave(vm.home, vm);
    if (this.#vms.size === 0) this.#environment.loop.timers.cancel(this.#search);
  }

  #lookForVms(): void {
    for (const vm of [...this.#vms.values()]) {
      const answer = connectDatagram(vm.address);
      if (answer >= 0) close(answer);
      if (isGone(answer)) vm.port.close('cannot read size from socket: the VM has closed its socket');
    }
    if (this.#vms.size > 0) this.#environment.loop.timers.arm(this.#search, SEARCH);
  }

  #complain(reason: string): void {
    const { now } = this.#environment.loop.timers;
    if (now - this.#complaint < COMPLAINTS) return;
    this.#complaint = now;
    this.#environment.events.refused?.(reason);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#ports.close('listener closed');
    this.#environment.loop.timers.cancel(this.#search);
    this.#door.socket.close();
    this.#file.remove();
    this.#environment.events.closed?.(this);
  }
}

/** A socket that VMs send to: one, or in rare cases several that connected before the first had said anything. */
class Home implements MessageSocketOwner {
  readonly socket: MessageSocket;
  readonly vms: Set<Vm> = new Set();
  /** Who sent last. */
  last: Vm | null = null;
  readonly #take: (home: Home, index: number) => void;

  constructor(fd: number, environment: LinkEnvironment, take: (home: Home, index: number) => void) {
    this.#take = take;
    this.socket = new MessageSocket(fd, environment, this, 'socket');
  }

  message(index: number): void {
    this.#take(this, index);
  }

  writable(): void {
    for (const vm of this.vms) vm.port.flush();
  }

  /** What an earlier datagram's delivery left behind: sending tells of it, too. */
  failed(): void {}
}

/** Of connectDatagram: nobody has a socket there any more. */
function isGone(answer: number): boolean {
  return answer === -ECONNREFUSED || answer === -ENOENT;
}

/** Nobody can send to it. */
function senderOf(vm: Vm): MessageSocketOwner {
  return { message: () => {}, writable: () => void vm.port.flush(), failed: () => {} };
}

function isFrom(region: MessageRegion, index: number, vm: Vm): boolean {
  return region.senderLength(index) === vm.address.length && region.isFrom(index, vm.address);
}

function isGreeting(bytes: Uint8Array, at: number, length: number): boolean {
  if (length < GREETING.length || length >= GREETING_LIMIT) return false;
  for (let i = 0; i < GREETING.length; i++) if (bytes[at + i] !== GREETING[i]) return false;
  return true;
}
