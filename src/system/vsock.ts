/** Stream sockets between a machine and its VMs on Linux (vsock(7)): listening, connecting, and whose address is whose. */
import { closeSync, openSync } from 'node:fs';
import {
  AF_VSOCK,
  IOCTL_VM_SOCKETS_GET_LOCAL_CID,
  SO_ERROR,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
  VMADDR_CID_ANY,
  VMADDR_PORT_ANY,
} from './constants.ts';
import { EADDRNOTAVAIL, EAFNOSUPPORT, ECONNRESET, EINPROGRESS, ENODEV, ENOENT, ETIMEDOUT } from './errno.ts';
import { check, SystemError, type SystemErrorContext } from './error.ts';
import { SOCKADDR_VM } from './layout.ts';
import { scratchAddress, scratchBytes, scratchLength, scratchWords } from './scratch.ts';
import { bindSocket, close, connect, getpeername, getsockname, getsockopt, ioctl, listen, load, pollWritable, socket } from './syscalls.ts';

const DEVICE = '/dev/vsock';
/** Milliseconds; the kernel itself gives up after two seconds where the other side is a VM that does not answer. */
const CONNECT_TIMEOUT = 10_000;

const NO_FAMILY = 'this kernel has no vsock: modprobe vsock';
const NO_TRANSPORT =
  'no way leads there: modprobe vhost_vsock on a host, vmw_vsock_virtio_transport in its VM, vsock_loopback for this machine itself (CID 1)';

export interface VsockAddress {
  readonly cid: number;
  readonly port: number;
}

/** As Go prints it: `host(2):1024`, `vm(3):1024`. */
export function vsockName({ cid, port }: VsockAddress): string {
  return `${machineName(cid)}:${port}`;
}

function machineName(cid: number): string {
  const kind = ['hypervisor', 'local', 'host'][cid] ?? (cid === VMADDR_CID_ANY ? 'any' : 'vm');
  return `${kind}(${cid})`;
}

/** This machine's context id; VMADDR_CID_ANY where it has none but the loopback. Throws SystemError. */
export function localCid(): number {
  load();
  let fd: number;
  try {
    fd = openSync(DEVICE, 'r');
  } catch (error) {
    const { errno = -ENOENT } = error as NodeJS.ErrnoException;
    throw new SystemError('open', -errno, { address: DEVICE, ...(errno === -ENOENT && { advice: NO_FAMILY }) });
  }
  try {
    check(ioctl(fd, IOCTL_VM_SOCKETS_GET_LOCAL_CID, scratchAddress()), 'ioctl', { address: DEVICE });
    return scratchWords[0]!;
  } finally {
    closeSync(fd);
  }
}

export interface VsockListener {
  /** Nonblocking, closed when a program is started; the caller's to close. */
  readonly fd: number;
  /** With the port that the kernel chose. */
  readonly address: VsockAddress;
}

/** `cid` undefined: this machine's own; port 0: any free one, as Go has it. Throws SystemError. */
export function listenVsock(cid: number | undefined, port: number, backlog: number): VsockListener {
  load();
  const wanted = { cid: cid ?? localCid(), port };
  const context = contextOf(wanted);
  const fd = openSocket(context);
  try {
    const bound = bindSocket(fd, scratchAddress(), write(wanted.cid, port === 0 ? VMADDR_PORT_ANY : port));
    check(bound, 'bind', bound === -EADDRNOTAVAIL ? { ...context, advice: whoWeAre() } : context);
    check(listen(fd, backlog), 'listen', context);
    check(getsockname(fd, scratchAddress(), scratchLength()), 'getsockname', context);
    return { fd, address: read() };
  } catch (error) {
    close(fd);
    throw error;
  }
}

function whoWeAre(): string {
  try {
    const own = localCid();
    return own === VMADDR_CID_ANY ? 'this machine has no CID of its own: leave it out' : `this machine's CID is ${own}`;
  } catch {
    return NO_FAMILY;
  }
}

export interface VsockConnectOptions {
  /** Milliseconds. Default 10,000. */
  readonly timeout?: number;
  readonly signal?: AbortSignal;
}

/** Resolves with a connected descriptor: nonblocking, closed when a program is started. Rejects with SystemError, or the signal's reason. */
export async function connectVsock(cid: number, port: number, options: VsockConnectOptions = {}): Promise<number> {
  load();
  const context = contextOf({ cid, port });
  options.signal?.throwIfAborted();
  const fd = openSocket(context);
  try {
    const started = connect(fd, scratchAddress(), write(cid, port));
    if (started !== -EINPROGRESS) judge(started, context);
    else {
      await writable(fd, context, options);
      check(getsockopt(fd, SOL_SOCKET, SO_ERROR, scratchAddress(), scratchLength(4)), 'getsockopt', context);
      judge(-scratchWords[0]!, context);
    }
    return fd;
  } catch (error) {
    close(fd);
    throw error;
  }
}

function judge(result: number, context: SystemErrorContext): void {
  const advice =
    result === -ENODEV
      ? NO_TRANSPORT
      : result === -ECONNRESET
        ? 'nobody listens there'
        : result === -ETIMEDOUT
          ? 'no such machine answers'
          : undefined;
  check(result, 'connect', { ...context, ...(advice !== undefined && { advice }) });
}

function writable(fd: number, context: SystemErrorContext, { timeout = CONNECT_TIMEOUT, signal }: VsockConnectOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (run: () => void): void => {
      poll.close();
      clearTimeout(timer);
      signal?.removeEventListener('abort', aborted);
      run();
    };
    const poll = pollWritable(fd, () => settle(resolve));
    const late = (): void => reject(new SystemError('connect', ETIMEDOUT, { ...context, advice: `${timeout} ms` }));
    const timer = setTimeout(() => settle(late), timeout);
    const aborted = (): void => settle(() => reject(signal!.reason as Error));
    signal?.addEventListener('abort', aborted);
  });
}

/** Who is at the other end of a connection; undefined when that is nobody, or no vsock address. */
export function vsockPeer(fd: number): VsockAddress | undefined {
  return getpeername(fd, scratchAddress(), scratchLength()) < 0 || scratchBytes[0] !== AF_VSOCK ? undefined : read();
}

function openSocket(context: SystemErrorContext): number {
  const fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  return check(fd, 'socket', fd === -EAFNOSUPPORT ? { ...context, advice: NO_FAMILY } : context);
}

function contextOf({ cid, port }: VsockAddress): SystemErrorContext {
  return { address: machineName(cid), port, transport: 'vsock' };
}

/** Returns the size. */
function write(cid: number, port: number): number {
  scratchBytes.fill(0, 0, SOCKADDR_VM.size);
  scratchBytes[0] = AF_VSOCK;
  scratchWords[SOCKADDR_VM.port >> 2] = port;
  scratchWords[SOCKADDR_VM.cid >> 2] = cid;
  return SOCKADDR_VM.size;
}

function read(): VsockAddress {
  return { cid: scratchWords[SOCKADDR_VM.cid >> 2]!, port: scratchWords[SOCKADDR_VM.port >> 2]! };
}
