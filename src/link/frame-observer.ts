/** Programs that look on at frames, and the files that frames are written to: what they are given, and what they can't break. */
import { Capture } from './capture.ts';
import type { Clock } from '../runtime/clock.ts';
import { LiveCapture } from './live-capture.ts';
import type { Port } from './port.ts';
import type { Tapping, Taps } from './taps.ts';

export interface TapOptions {
  /** The VM whose frames are seen; default: all, those too that attach later. */
  readonly port?: Port | undefined;
}

/** `from-guest`: the VM has sent it; it is seen whether the network takes it or not. `to-guest`: it is on its way to the VM. */
export type FrameDirection = 'from-guest' | 'to-guest';

/** The frame is `bytes.subarray(at, at + length)`, Ethernet header first, during the call only; it must not be changed. Called for every frame: it should be quick. */
export type FrameObserver = (bytes: Uint8Array, at: number, length: number, direction: FrameDirection, port: Port) => void;

/** What the observer throws is its program's to see; frames go on. */
export function observing(observer: FrameObserver): Tapping {
  const see = (bytes: Uint8Array, at: number, length: number, direction: FrameDirection, port: Port): void => {
    try {
      observer(bytes, at, length, direction, port);
    } catch (error) {
      setImmediate(() => {
        throw error;
      });
    }
  };
  const nothing = (): void => {};
  return {
    fromGuest: nothing,
    toGuest: nothing,
    of: (port) => ({
      fromGuest: (bytes, at, length) => see(bytes, at, length, 'from-guest', port),
      toGuest: (bytes, at, length) => see(bytes, at, length, 'to-guest', port),
    }),
  };
}

/** A pcapng file that is being written, a turn at a time. */
export interface FrameCapture extends Disposable {
  readonly file: string;
  /** What has ended it early: a full disk, for one. */
  readonly error: Error | null;
  /** Writes what is left, and closes the file. */
  close(): void;
}

/** What frames of a network are being written to. */
export class Captures {
  readonly #taps: Taps;
  /** Milliseconds since 1970. */
  readonly #now: () => number;
  readonly #open: Set<Capture> = new Set();

  /** `clock` runs like the time of day, and never backwards. */
  constructor(taps: Taps, clock: Clock) {
    this.#taps = taps;
    const started = Date.now() - clock.now();
    this.#now = () => started + clock.now();
  }

  /** Replaces the file when it exists; `ended` hears why nothing more can be written. Throws Node's error when it can't be created or written. */
  open(file: string, port: Port | undefined, ended: (error: Error) => void = () => {}): FrameCapture {
    const capture = new Capture(file, this.#now);
    let failure: Error | null = null;
    capture.onEnd = (error) => {
      failure = error;
      ended(error);
    };
    this.#open.add(capture);
    const untap = this.#taps.add(capture, port);
    const close = (): void => {
      if (!this.#open.delete(capture)) return;
      untap();
      capture.close();
    };
    return {
      file,
      get error() {
        return failure;
      },
      close,
      [Symbol.dispose]: close,
    };
  }

  /** For a reader who takes from it; null: of every VM. */
  live(port: Port | null): { capture: LiveCapture; stop: () => void } {
    const capture = new LiveCapture(this.#now);
    return { capture, stop: this.#taps.add(capture, port) };
  }

  /** At the end of a round. */
  flush(): void {
    for (const capture of this.#open) capture.flush();
  }

  close(): void {
    for (const capture of this.#open) capture.close();
    this.#open.clear();
  }
}
