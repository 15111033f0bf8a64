/** Opens the listening socket that a `vsock://` URL names (contract §5.1). */
import { lstatSync, rmSync } from 'node:fs';
import { EAFNOSUPPORT } from './errno.ts';
import { SystemError } from './error.ts';
import { listenUnix } from './unix-listener.ts';
import { listenVsock } from './vsock.ts';
import { parseVsockUrl } from './vsock-url.ts';

export interface VsockUrlListener {
  /** Nonblocking, closed when a program is started; the caller's to close. */
  readonly fd: number;
  /** What was bound, with the port that the kernel chose: `vsock://2:1024`, `unix:///vm/00000002.00000400`. */
  readonly address: string;
  /** Removes what closing the descriptor leaves. */
  readonly remove: () => void;
}

/** Throws SystemError; TypeError for a URL that says nothing to listen on. */
export function openVsockUrl(url: string, backlog: number): VsockUrlListener {
  const place = parseVsockUrl(url);
  if (place.kind === 'hyperv') {
    const advice = 'Hyper-V sockets need Windows, and guestwire needs Linux: want vsock://:PORT';
    throw new SystemError('listen', EAFNOSUPPORT, { address: url, advice });
  }
  if (place.kind === 'directory') {
    removeSocket(place.file);
    return { ...listenUnix(place.file, backlog), address: `unix://${place.file}` };
  }
  const { fd, address } = listenVsock(place.cid, place.port, backlog);
  return { fd, address: `vsock://${address.cid}:${address.port}`, remove: () => {} };
}

/** HyperKit's folder belongs to one VM, and its sockets to whoever serves that now. What is no socket stays, and the bind fails. */
function removeSocket(file: string): void {
  if (lstatSync(file, { throwIfNoEntry: false })?.isSocket() === true) rmSync(file);
}
