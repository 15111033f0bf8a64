/**
 * Frames as a stream of pcapng for a reader who comes and takes. What a slow reader leaves no room for is lost and counted; a
 * statistics block behind what was taken says how much.
 */
import {
  fileHeader,
  INBOUND,
  OUTBOUND,
  packetBlockSize,
  STATISTICS_BLOCK,
  writePacketBlock,
  writeStatisticsBlock,
} from '../packet/pcapng.ts';
import type { FrameTap } from './port.ts';

/** Bytes that wait for the reader. */
export const CAPTURE_BUFFER = 4_194_304;

export class LiveCapture implements FrameTap {
  /** Seen, those that were lost included. */
  frames = 0;
  lost = 0;
  readonly #bytes: Uint8Array = new Uint8Array(CAPTURE_BUFFER);
  readonly #view: DataView = new DataView(this.#bytes.buffer);
  /** Milliseconds since 1970. */
  readonly #now: () => number;
  #filled = 0;
  /** What the last statistics block has said. */
  #reported = 0;
  /** The stream has its last block: the statistics. */
  #complete = false;
  #isOver = false;
  #waiting: (() => void) | null = null;

  constructor(now: () => number) {
    this.#now = now;
    const header = fileHeader('guestwire');
    this.#bytes.set(header);
    this.#filled = header.length;
  }

  fromGuest(bytes: Uint8Array, at: number, length: number): void {
    this.#add(bytes, at, length, INBOUND);
  }

  toGuest(bytes: Uint8Array, at: number, length: number): void {
    this.#add(bytes, at, length, OUTBOUND);
  }

  /** What has been seen may still be taken. */
  ended(): void {
    this.#isOver = true;
    this.#wake();
  }

  /** Whole blocks, as soon as there are any; null when there will be no more. One call at a time. */
  async take(): Promise<Uint8Array | null> {
    if (this.#filled === 0 && !this.#isOver) {
      await new Promise<void>((resolve) => {
        this.#waiting = resolve;
      });
    }
    if (this.lost !== this.#reported || (this.#isOver && !this.#complete)) {
      this.#filled += writeStatisticsBlock(this.#view, this.#filled, this.frames, this.lost, this.#now());
      this.#reported = this.lost;
      this.#complete = this.#isOver;
    }
    if (this.#filled === 0) return null;
    const taken = this.#bytes.slice(0, this.#filled);
    this.#filled = 0;
    return taken;
  }

  #add(bytes: Uint8Array, at: number, length: number, direction: number): void {
    this.frames++;
    if (this.#filled + packetBlockSize(length) > CAPTURE_BUFFER - STATISTICS_BLOCK) this.lost++;
    else this.#filled += writePacketBlock(this.#bytes, this.#view, this.#filled, bytes, at, length, direction, this.#now());
    this.#wake();
  }

  #wake(): void {
    this.#waiting?.();
    this.#waiting = null;
  }
}
