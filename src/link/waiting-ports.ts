/** The ports of one link that have frames to send, and send them at the end of a turn. */
import type { TurnLoop } from '../runtime/turn-loop.ts';

export interface WaitingPort {
  /** Sends what there is. True when flows that waited for room can go on. */
  flush(): boolean;
}

export class WaitingPorts {
  readonly #loop: TurnLoop;
  readonly #endPhase: () => void;
  /** Used up to `#count`: an array that is emptied is grown again in each turn. */
  readonly #ports: WaitingPort[] = [];
  #count = 0;

  constructor(loop: TurnLoop) {
    this.#loop = loop;
    this.#endPhase = loop.phase(() => this.flush());
  }

  /** Once for each port until it has been flushed. */
  add(port: WaitingPort): void {
    this.#ports[this.#count++] = port;
    this.#loop.runSoon();
  }

  /** True when flows that waited for room can go on. */
  flush(): boolean {
    if (this.#count === 0) return false;
    let drained = false;
    for (let i = 0; i < this.#count; i++) if (this.#ports[i]!.flush()) drained = true;
    this.#count = 0;
    return drained;
  }

  close(): void {
    this.#endPhase();
  }
}
