/** Who sees the frames of which VMs: any number of onlookers, each for all VMs or for one. Costs a VM nothing that nobody looks at. */
import type { FrameTap, Port } from './port.ts';

/** An onlooker that wants to tell VMs apart makes a tap for each. */
export interface Tapping extends FrameTap {
  of?(port: Port): FrameTap;
}

interface Onlooker {
  readonly tap: Tapping;
  /** Null: all VMs, those that are to come as well. */
  readonly port: Port | null;
}

export class Taps {
  readonly #ports: Set<Port> = new Set();
  readonly #onlookers: Set<Onlooker> = new Set();

  /** Before the VM's first frame. */
  attached(port: Port): void {
    this.#ports.add(port);
    this.#renew(port);
  }

  detached(port: Port): void {
    this.#ports.delete(port);
    for (const onlooker of this.#onlookers) {
      if (onlooker.port !== port) continue;
      this.#onlookers.delete(onlooker);
      onlooker.tap.ended?.();
    }
  }

  has(port: Port): boolean {
    return this.#ports.has(port);
  }

  /** From now on. Returns what ends it. */
  add(tap: Tapping, port: Port | null = null): () => void {
    const onlooker = { tap, port };
    this.#onlookers.add(onlooker);
    this.#renewAll();
    return () => {
      if (this.#onlookers.delete(onlooker)) this.#renewAll();
    };
  }

  close(): void {
    for (const { tap } of this.#onlookers) tap.ended?.();
    this.#onlookers.clear();
    this.#renewAll();
  }

  #renewAll(): void {
    for (const port of this.#ports) this.#renew(port);
  }

  #renew(port: Port): void {
    const taps = [...this.#onlookers]
      .filter((onlooker) => onlooker.port === null || onlooker.port === port)
      .map(({ tap }) => tap.of?.(port) ?? tap);
    port.tap = taps.length > 1 ? new FanOut(taps) : (taps[0] ?? null);
  }
}

class FanOut implements FrameTap {
  readonly #taps: readonly FrameTap[];

  constructor(taps: readonly FrameTap[]) {
    this.#taps = taps;
  }

  fromGuest(bytes: Uint8Array, at: number, length: number): void {
    for (let i = 0; i < this.#taps.length; i++) this.#taps[i]!.fromGuest(bytes, at, length);
  }

  toGuest(bytes: Uint8Array, at: number, length: number): void {
    for (let i = 0; i < this.#taps.length; i++) this.#taps[i]!.toGuest(bytes, at, length);
  }
}
