/** A file of the host that is read again when it has changed: `/etc/hosts`, `/etc/resolv.conf`. */

export interface FileSystem {
  /** Changes whenever the file does; undefined when it can't be read. */
  version(path: string): string | undefined;
  read(path: string): string;
}

/** Milliseconds between looks. */
const INTERVAL = 1000;

export class WatchedFile<T> {
  readonly #path: string;
  readonly #files: FileSystem;
  readonly #parse: (text: string) => T;
  readonly #now: () => number;
  #value: T;
  #version: string | undefined;
  #looked = -Infinity;

  /** A file that is not there parses as an empty one. */
  constructor(path: string, files: FileSystem, now: () => number, parse: (text: string) => T) {
    this.#path = path;
    this.#files = files;
    this.#now = now;
    this.#parse = parse;
    this.#value = parse('');
  }

  get value(): T {
    const now = this.#now();
    if (now - this.#looked < INTERVAL) return this.#value;
    this.#looked = now;
    const version = this.#files.version(this.#path);
    if (version === this.#version) return this.#value;
    this.#version = version;
    this.#value = this.#parse(version === undefined ? '' : this.#files.read(this.#path));
    return this.#value;
  }
}
