/** `/etc/resolv.conf` as a DHCP lease says (resolv.conf(5)), and as it was before once the lease is over. */
import { lstatSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { formatIpv4 } from '../packet/address.ts';
import type { DhcpLease } from '../packet/dhcpv4-client.ts';

const HEAD = '# by gvforwarder, from DHCP\n';

/** Empty when the lease names no resolver. */
export function resolverText({ nameservers, search }: Pick<DhcpLease, 'nameservers' | 'search'>): string {
  if (nameservers.length === 0) return '';
  const lines = nameservers.map((address) => `nameserver ${formatIpv4(address)}\n`);
  return `${HEAD}${search.length === 0 ? '' : `search ${search.join(' ')}\n`}${lines.join('')}`;
}

export class ResolverFile {
  readonly #path: string;
  /** Before us; undefined when there was no file. */
  #before: string | undefined;
  /** What we have written; undefined when the file is not ours. */
  #written: string | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  /** Why it was not written, for the log; undefined when it was. Throws Node's error when it can't be. */
  write(lease: DhcpLease): string | undefined {
    const text = resolverText(lease);
    if (text === '') return 'the lease names no resolver';
    if (isLink(this.#path)) return `${this.#path} is a link: another program keeps the file behind it`;
    const now = contents(this.#path);
    if (now === text) return undefined;
    if (this.#written === undefined) this.#before = now;
    replace(this.#path, text);
    this.#written = text;
    return undefined;
  }

  /** Puts back what was there, unless another program has written to it since. Never throws: there is nothing to be done about it. */
  restore(): void {
    try {
      if (this.#written === undefined || contents(this.#path) !== this.#written) return;
      if (this.#before === undefined) rmSync(this.#path);
      else replace(this.#path, this.#before);
    } catch {
      // A file system that is read-only by now, as when the machine shuts down.
    }
    this.#written = undefined;
  }
}

function isLink(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true;
}

function contents(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Nobody reads half a file; but one that a container has mounted at the path can't be replaced, and is written to. */
function replace(path: string, text: string): void {
  const beside = `${path}.gvforwarder-${process.pid}`;
  try {
    writeFileSync(beside, text, { mode: 0o644 });
    renameSync(beside, path);
  } catch (error) {
    rmSync(beside, { force: true });
    if (!['EBUSY', 'EACCES', 'EROFS', 'EXDEV'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    writeFileSync(path, text);
  }
}
