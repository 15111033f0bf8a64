/** A descriptor where each message is one frame: a socket, or a TAP device. Reads a batch a round; says when there is room to send again. */
import { EPOLLIN, EPOLLOUT } from '../system/constants.ts';
import { EAGAIN, EINTR, errnoText } from '../system/errno.ts';
import { close } from '../system/syscalls.ts';
import { Timer } from '../runtime/timer-wheel.ts';
import type { TurnLoop, Watcher } from '../runtime/turn-loop.ts';
import type { LinkEnvironment } from './link.ts';
import { MessageRegion } from './message-region.ts';
import type { FrameReceiver } from './port.ts';
import type { TransmitBuffer } from './transmit-buffer.ts';

/** Milliseconds until another attempt where nothing tells when there is room again. */
const RETRY = 4;

export interface MessageSocketOwner {
  /** Message `index` of the region's batch has come. */
  message(index: number): void;
  /** There may be room for more. */
  writable(): void;
  /** Receiving failed. `errno` is positive. */
  failed(errno: number): void;
}

export class MessageSocket implements Watcher {
  readonly region: MessageRegion;
  readonly #fd: number;
  readonly #loop: TurnLoop;
  readonly #receiver: FrameReceiver;
  readonly #owner: MessageSocketOwner;
  readonly #isDevice: boolean;
  /** What is watched for besides room. */
  readonly #interest: number;
  readonly #token: number;
  readonly #retry: Timer = new Timer(() => this.#owner.writable());
  #waits = false;
  /** Epoll has said that there is room, and nothing was taken since: a unix socket doesn't tell of queues that it isn't connected to. */
  #misled = false;
  #closed = false;

  /** Takes over `fd` (nonblocking). `kind`: `sender` for a socket that nobody can send to. Throws SystemError; RangeError when the arena is full. */
  constructor(fd: number, environment: LinkEnvironment, owner: MessageSocketOwner, kind: 'socket' | 'device' | 'sender') {
    this.region = MessageRegion.of(environment.arena);
    this.#fd = fd;
    this.#loop = environment.loop;
    this.#receiver = environment.receiver;
    this.#owner = owner;
    this.#isDevice = kind === 'device';
    this.#interest = kind === 'sender' ? 0 : EPOLLIN;
    this.#token = this.#loop.watch(fd, this.#interest, this);
  }

  ready(events: number): void {
    if (events & EPOLLOUT) {
      this.#waitForRoom(false);
      this.#misled = true;
      this.#owner.writable();
    }
    if (events & ~EPOLLOUT && !this.#closed) this.#read();
  }

  #read(): void {
    const { region } = this;
    const count = this.#isDevice ? region.read(this.#fd) : region.receive(this.#fd);
    if (count === -EAGAIN || count === -EINTR) return;
    if (count < 0) return this.#owner.failed(-count);
    let bytes = 0;
    for (let i = 0; i < count && !this.#closed; i++) {
      bytes += Math.max(region.length(i), 0);
      this.#owner.message(i);
    }
    this.#loop.received(bytes);
    this.#receiver.endOfBatch();
  }

  /** Sends frames from the head of `transmit`: see MessageRegion.send. After -EAGAIN its owner hears when there is room. */
  send(transmit: TransmitBuffer, to: Uint8Array | null): number {
    const result = this.#isDevice ? this.region.write(this.#fd, transmit) : this.region.send(this.#fd, transmit, to);
    if (result === 0) this.#misled = false;
    else if (result === -EAGAIN && this.#misled) this.retryLater();
    else if (result === -EAGAIN) this.#waitForRoom(true);
    return result;
  }

  /** Its owner hears `writable` in a few milliseconds: for what epoll doesn't tell. */
  retryLater(): void {
    if (!this.#closed) this.#loop.timers.arm(this.#retry, RETRY);
  }

  #waitForRoom(wait: boolean): void {
    if (wait === this.#waits) return;
    this.#waits = wait;
    this.#loop.modify(this.#token, this.#fd, this.#interest | (wait ? EPOLLOUT : 0));
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#loop.timers.cancel(this.#retry);
    this.#loop.unwatch(this.#token, this.#fd);
    close(this.#fd);
  }
}

/** Text for the log: why a VM's messages can't be received any more. Worded as gvproxy does (contract §6.8). */
export function whyNotReceived(errno: number): string {
  return `cannot read size from socket: ${errno === 0 ? 'EOF' : errnoText(errno)}`;
}
