/** A link under test: its network is this file, which hears every frame and event, and sends what it is told to. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import type { LinkEnvironment } from '../../src/link/link.ts';
import type { Port } from '../../src/link/port.ts';
import type { Clock } from '../../src/runtime/clock.ts';
import { Arena } from '../../src/runtime/arena.ts';
import { TurnLoop } from '../../src/runtime/turn-loop.ts';

/** Milliseconds that anything in these tests may take. */
const PATIENCE = 20_000;

export class World {
  readonly arena: Arena = new Arena(128 << 20);
  /** It doesn't linger: the VM's end is run by the same thread. */
  readonly loop: TurnLoop;
  readonly ports: Port[] = [];
  /** `connected 0`, `disconnected 0: why`. */
  readonly events: string[] = [];
  /** Ports that have room again. */
  readonly drained: Port[] = [];
  readonly folder: string = mkdtempSync(join(tmpdir(), 'guestwire-link-'));
  batches = 0;
  /** Hears each frame: valid during the call. */
  onFrame: (port: Port, frame: Uint8Array, at: number) => void = () => {};
  readonly environment: LinkEnvironment;

  constructor(clock?: Clock) {
    let id = 0;
    this.loop = new TurnLoop(this.arena, { linger: false, ...(clock === undefined ? {} : { clock }) });
    const { arena, loop } = this;
    this.environment = {
      loop,
      arena,
      nextId: () => id++,
      receiver: {
        frame: (port, at, length) => this.onFrame(port, arena.bytes.subarray(at, at + length), at),
        endOfBatch: () => void this.batches++,
        drained: (port) => void this.drained.push(port),
        attached: (port) => void this.ports.push(port),
        detached: (port) => void this.ports.splice(this.ports.indexOf(port), 1),
      },
      events: {
        connected: (port) => void this.events.push(`connected ${port.id}`),
        disconnected: (port, reason) => void this.events.push(`disconnected ${port.id}: ${reason}`),
        closed: () => void this.events.push('closed'),
        refused: (reason) => void this.events.push(`refused: ${reason}`),
      },
    };
  }

  /** Sends a frame to the VM; false when its port is full. */
  send(port: Port, frame: Uint8Array, header?: Uint8Array): boolean {
    const claim = port.claim(port.headroom + frame.length);
    if (claim < 0) return false;
    const at = claim + port.headroom;
    this.arena.bytes.set(frame, at);
    if (header !== undefined) this.arena.bytes.set(header, at - header.length);
    port.commit(at, frame.length, header !== undefined);
    return true;
  }

  /** The next turn, which looks at the clock. */
  async turn(): Promise<void> {
    this.loop.runSoon();
    await this.settle();
  }

  /** Lets the loop work until `done`. */
  async until(done: () => boolean, what: string): Promise<void> {
    const end = Date.now() + PATIENCE;
    while (!done()) {
      assert.ok(Date.now() < end, `${what} within ${PATIENCE} ms`);
      await turn();
    }
  }

  /** Lets the loop work for as long as anything that is under way can take. */
  async settle(): Promise<void> {
    for (let i = 0; i < 20; i++) await turn();
  }

  /** Bytes that the arena could still give, in regions of 64 KiB. */
  get free(): number {
    const taken: number[] = [];
    for (let at = this.arena.allocate(65_536); at >= 0; at = this.arena.allocate(65_536)) taken.push(at);
    for (const at of taken) this.arena.free(at, 65_536);
    return taken.length * 65_536;
  }

  close(): void {
    this.loop.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export function descriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

/** A frame whose content depends on its number, and begins with it. */
export function numbered(number: number, length: number): Uint8Array {
  const frame = new Uint8Array(length);
  for (let i = 0; i < length; i++) frame[i] = number + i * 31 + (i >> 8);
  if (length >= 4) new DataView(frame.buffer).setUint32(0, number);
  return frame;
}

export function numberOf(frame: Uint8Array): number {
  return ((frame[0]! << 24) | (frame[1]! << 16) | (frame[2]! << 8) | frame[3]!) >>> 0;
}
