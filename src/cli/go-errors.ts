/** Failed system calls in Go's words, which callers of gvproxy look for in its log. */

/** What Node's errors and SystemError tell about the call. */
interface FailedCall extends Error {
  readonly code?: string;
  readonly syscall?: string;
  readonly address?: string;
  readonly port?: number;
  readonly path?: string;
  readonly hostname?: string;
  /** `udp`; TCP without it. */
  readonly transport?: string;
}

/** What is called as its URL is (`fd:3`), or by its name (`standard input`). */
const CALLED = /^([a-z]+:|standard )/;
const OPTION = /^[A-Z_]+$/;

/** `listen tcp 127.0.0.1:2222: bind: address already in use`; the error's own message when no listener failed. */
export function listenErrorText(error: unknown): string {
  const { message, code, syscall, address, port, hostname, transport = 'tcp' } = error as FailedCall;
  if (syscall === 'getaddrinfo' && code === 'ENOTFOUND') return `listen tcp: lookup ${hostname}: no such host`;
  if (syscall === undefined || address === undefined) return message;
  const before = `${syscall} ${code} ${address}${port === undefined ? '' : `:${port}`}: `;
  const reason = message.startsWith(before) ? message.slice(before.length) : message;
  // A device is opened, and a socket or a device that is there is asked for something: nobody listens on these.
  if ((syscall === 'open' || OPTION.test(syscall)) && !CALLED.test(address)) return `${syscall} ${address}: ${reason}`;
  return `listen ${placeText(address, port, transport)}: ${syscall}: ${reason}`;
}

/** A path, a host with its port, or what has a name of its own. */
function placeText(address: string, port: number | undefined, transport: string): string {
  if (port !== undefined) return `${transport} ${hostPort(address, port)}`;
  return CALLED.test(address) ? address : `unix ${address}`;
}

/** `open /run/x: no such file or directory`; the error's own message when no file is to blame. */
export function fileErrorText(error: unknown): string {
  const { message, code, syscall, path } = error as FailedCall;
  if (path === undefined) return message;
  // Node: "ENOENT: no such file or directory, open '/run/x'".
  const reason = message.replace(`${code}: `, '').replace(`, ${syscall} '${path}'`, '');
  return `${syscall} ${path}: ${reason}`;
}

function hostPort(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
