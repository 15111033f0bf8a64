/**
 * Stands between ssh2 and the virtual network. ssh2 writes without heeding back-pressure, and queues what it is given while
 * keys are exchanged: the wire tells how much has come out, so that `SendGate` can hold back what goes in.
 */
import { Duplex } from 'node:stream';

type Done = (error?: Error | null) => void;

export class Wire extends Duplex {
  readonly #inner: Duplex;
  readonly #onWrite: () => void;
  #finished = 0;

  /** `onWrite` is called whenever ssh2 has sent something. Destroying the wire destroys `inner`, and the other way round. */
  constructor(inner: Duplex, onWrite: () => void) {
    super({ allowHalfOpen: true });
    this.#inner = inner;
    this.#onWrite = onWrite;
    inner.on('data', (chunk: Buffer) => {
      if (!this.push(chunk)) inner.pause();
    });
    inner.on('end', () => this.push(null));
    inner.on('error', (error) => this.destroy(error));
    inner.on('close', () => {
      // After its end, what it has brought is still to be read.
      if (!inner.readableEnded) this.destroy();
    });
  }

  /** Bytes that ssh2 has ever handed over. */
  get taken(): number {
    return this.#finished + this.writableLength;
  }

  override _read(): void {
    this.#inner.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    this.#onWrite();
    this.#inner.write(chunk, (error) => {
      this.#finished += chunk.length;
      done(error);
    });
  }

  override _writev(chunks: { chunk: Buffer }[], done: Done): void {
    this._write(Buffer.concat(chunks.map(({ chunk }) => chunk)), 'buffer' as BufferEncoding, done);
  }

  override _final(done: Done): void {
    this.#inner.end(() => done());
  }

  override _destroy(error: Error | null, done: Done): void {
    this.#inner.destroy();
    done(error);
  }
}
