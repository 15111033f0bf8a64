/** Which blocks of the product's code a run has reached, as V8 counts them: what is new is worth keeping. */
import { Session } from 'node:inspector';
import { fileURLToPath } from 'node:url';

const PRODUCT: string = new URL('../../src/', import.meta.url).href;

interface Taken {
  result: { url: string; functions: { ranges: { startOffset: number; endOffset: number; count: number }[] }[] }[];
}

export class Coverage {
  readonly #session: Session = new Session();
  readonly #seen: Set<string> = new Set();

  constructor() {
    this.#session.connect();
    this.#session.post('Profiler.enable');
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  }

  get blocks(): number {
    return this.#seen.size;
  }

  /** Blocks reached since the last call that are not marked. */
  take(): string[] {
    const fresh: string[] = [];
    // Answered within the call: the session is this thread's own.
    this.#session.post('Profiler.takePreciseCoverage', (error: Error | null, taken: Taken) => {
      if (error !== null) throw error;
      for (const { url, functions } of taken.result) if (url.startsWith(PRODUCT)) this.#note(url, functions, fresh);
    });
    return fresh;
  }

  #note(url: string, functions: Taken['result'][0]['functions'], fresh: string[]): void {
    for (const { ranges } of functions) {
      for (const { startOffset, endOffset, count } of ranges) {
        if (count === 0) continue;
        const key = `${url}:${startOffset}:${endOffset}`;
        if (!this.#seen.has(key)) fresh.push(key);
      }
    }
  }

  /** They are known from now on. */
  mark(blocks: readonly string[]): void {
    for (const block of blocks) this.#seen.add(block);
  }

  close(): void {
    this.#session.disconnect();
  }
}

/** A folder of the source tree, from where this runs in build/. */
export const CORPUS: string = fileURLToPath(new URL('../../../test/fuzz/corpus/', import.meta.url));
