/** Writes the frames of every port to a pcapng file. A buffer is written out once a turn; a failure ends the capture, not the network. */
import { closeSync, openSync, writeSync } from 'node:fs';
import { fileHeader, INBOUND, OUTBOUND, packetBlockSize, writePacketBlock } from '../packet/pcapng.ts';
import type { FrameTap } from './port.ts';

const BUFFER = 1 << 20;

export class Capture implements FrameTap {
  /** Hears what has ended the capture. */
  onEnd: ((error: Error) => void) | null = null;
  #ended = false;
  readonly #fd: number;
  readonly #bytes: Uint8Array = new Uint8Array(BUFFER);
  readonly #view: DataView = new DataView(this.#bytes.buffer);
  /** Milliseconds since 1970. */
  readonly #now: () => number;
  #filled = 0;

  /** An existing file is replaced. Throws when it can't be created or written. */
  constructor(path: string, now: () => number) {
    this.#fd = openSync(path, 'w');
    this.#now = now;
    try {
      writeSync(this.#fd, fileHeader('guestwire'));
    } catch (error) {
      closeSync(this.#fd);
      throw error;
    }
  }

  fromGuest(bytes: Uint8Array, at: number, length: number): void {
    this.#add(bytes, at, length, INBOUND);
  }

  toGuest(bytes: Uint8Array, at: number, length: number): void {
    this.#add(bytes, at, length, OUTBOUND);
  }

  #add(bytes: Uint8Array, at: number, length: number, direction: number): void {
    if (this.#ended) return;
    if (this.#filled + packetBlockSize(length) > BUFFER) this.flush();
    this.#filled += writePacketBlock(this.#bytes, this.#view, this.#filled, bytes, at, length, direction, this.#now());
  }

  flush(): void {
    if (this.#filled === 0) return;
    const filled = this.#filled;
    this.#filled = 0;
    try {
      // A disk that gets full takes a part: the rest says why.
      for (let written = 0; written < filled;) written += writeSync(this.#fd, this.#bytes, written, filled - written);
    } catch (error) {
      this.#ended = true;
      this.onEnd?.(error as Error);
    }
  }

  close(): void {
    this.flush();
    closeSync(this.#fd);
  }
}
