/** Waiting that can be given up. */

export interface Abortable {
  /** Gives up: the promise rejects with the signal's reason, and nothing stays of what was begun. */
  readonly signal?: AbortSignal | undefined;
}

/** Settles as `promise`, unless `signal` aborts first: what the promise still comes to then goes to `undo`. */
export async function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined, undo: (late: T) => void): Promise<T> {
  if (signal === undefined) return promise;
  let abort = (): void => {};
  const aborted = new Promise<never>((_resolve, reject) => {
    abort = () => reject(signal.reason as Error);
    signal.addEventListener('abort', abort);
    if (signal.aborted) abort();
  });
  try {
    return await Promise.race([promise, aborted]);
  } catch (error) {
    // Its own failure is the one that is thrown, or comes too late to matter.
    promise.then(undo, () => {});
    throw error;
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
