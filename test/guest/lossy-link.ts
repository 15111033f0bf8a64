/**
 * A link between a guest and a gvproxy that loses, delays and reorders frames, the same ones for the same seed: what `tc netem`
 * does, where the kernel has none.
 *
 *     guest's bridge ── unix socket ──► LossyLink ── unix socket ──► gvproxy
 */
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { framed, onFrames } from './framed-stream.ts';
import { temporaryFolder } from './process.ts';

export interface LinkQuality {
  readonly seed: number;
  /** Parts of one: frames lost, and frames held back so long that others overtake them. */
  readonly loss: number;
  readonly late: number;
  /** Milliseconds: of every frame, and of a late one on top. */
  readonly delay: number;
  readonly lateness: number;
}

/** Milliseconds between looks at what is due. */
const TICK = 1;

/** Mulberry32: numbers from 0 to 1. */
function seeded(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** One direction. */
class Way {
  frames = 0;
  lost = 0;
  late = 0;
  readonly #to: Socket;
  readonly #quality: LinkQuality;
  readonly #random: () => number;
  /** In the order in which they came; frames of each are due in that order. */
  #onTime: { due: number; frame: Buffer }[] = [];
  #delayed: { due: number; frame: Buffer }[] = [];

  constructor(from: Socket, to: Socket, quality: LinkQuality, seed: number) {
    this.#to = to;
    this.#quality = quality;
    this.#random = seeded(seed);
    onFrames(from, (frame) => this.#take(frame));
  }

  #take(frame: Buffer): void {
    const { loss, late, delay, lateness } = this.#quality;
    this.frames++;
    const fate = this.#random();
    if (fate < loss) {
      this.lost++;
      return;
    }
    const due = performance.now() + delay;
    if (fate < loss + late) {
      this.late++;
      this.#delayed.push({ due: due + lateness, frame: framed(frame) });
    } else this.#onTime.push({ due, frame: framed(frame) });
  }

  pass(): void {
    const now = performance.now();
    this.#to.cork();
    for (const queue of [this.#onTime, this.#delayed]) {
      let due = 0;
      while (due < queue.length && queue[due]!.due <= now) this.#to.write(queue[due++]!.frame);
      queue.splice(0, due);
    }
    this.#to.uncork();
  }
}

export class LossyLink {
  /** Where the guest's bridge connects to. */
  readonly path: string = join(temporaryFolder(), 'link.sock');
  readonly ways: Way[] = [];
  readonly #server: Server;
  readonly #sockets: Socket[] = [];
  #timer: NodeJS.Timeout | undefined = undefined;

  private constructor(socket: string, quality: LinkQuality) {
    this.#server = createServer((guest) => {
      const gateway = connect(socket);
      for (const end of [guest, gateway]) {
        this.#sockets.push(end);
        end.on('error', () => this.close());
        end.on('close', () => this.close());
      }
      this.ways.push(new Way(guest, gateway, quality, quality.seed), new Way(gateway, guest, quality, quality.seed + 1));
    });
    this.#timer = setInterval(() => {
      for (const way of this.ways) way.pass();
    }, TICK);
  }

  /** In front of the gvproxy at `socket`. */
  static async open(socket: string, quality: LinkQuality): Promise<LossyLink> {
    const link = new LossyLink(socket, quality);
    link.#server.listen(link.path);
    await once(link.#server, 'listening');
    return link;
  }

  close(): void {
    clearInterval(this.#timer);
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}
