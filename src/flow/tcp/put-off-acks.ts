/**
 * ACKs of small segments that wait for the end of the turn, since the answer may carry them (see acknowledgeData in receive.ts).
 *
 * When an ACK had to go alone the guest may have been waiting for it (Nagle's algorithm), and its next segments are acknowledged
 * at once.
 */
import { DONE, KEPT, SENT } from '../../runtime/turn-loop.ts';
import type { TcpFlow } from './flow.ts';

/** Segments acknowledged at once after an ACK that was put off went out alone. */
const PROMPT = 16;

export class PutOffAcks {
  /** Used up to `#count`. */
  readonly #flows: TcpFlow[] = [];
  #count = 0;
  readonly #acknowledge: (flow: TcpFlow) => void;

  constructor(acknowledge: (flow: TcpFlow) => void) {
    this.#acknowledge = acknowledge;
  }

  add(flow: TcpFlow): void {
    if (flow.ackPutOff) return;
    flow.ackPutOff = true;
    flow.ackKeptAt = (flow.lastAck - 1) | 0;
    this.#flows[this.#count++] = flow;
  }

  /**
   * What no data has acknowledged is acknowledged now, unless the turn's time was over and the answer may be under way: then
   * the next turn's end is the last. Returns what an Ending does.
   */
  endOfTurn(idle: boolean): number {
    const flows = this.#flows;
    let result = DONE;
    let kept = 0;
    for (let i = 0; i < this.#count; i++) {
      const flow = flows[i]!;
      if (flow.removed || flow.lastAck === flow.rcvNxt) flow.ackPutOff = false;
      else if (!idle && flow.ackKeptAt !== flow.lastAck) {
        flow.ackKeptAt = flow.lastAck;
        flows[kept++] = flow;
        result |= KEPT;
      } else {
        flow.ackPutOff = false;
        flow.promptAcks = PROMPT;
        flow.acksDue = Math.max(flow.acksDue, 1);
        this.#acknowledge(flow);
        result |= SENT;
      }
    }
    this.#count = kept;
    return result;
  }
}
