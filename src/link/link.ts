/** What every way to attach VMs has in common: what it needs of the network, and what the network holds of it. */
import type { Arena } from '../runtime/arena.ts';
import type { TurnLoop } from '../runtime/turn-loop.ts';
import type { LinkEvents } from './events.ts';
import type { FrameReceiver } from './port.ts';

export interface LinkEnvironment {
  readonly loop: TurnLoop;
  readonly arena: Arena;
  readonly receiver: FrameReceiver;
  readonly events: LinkEvents;
  /** Numbers the ports. */
  readonly nextId: () => number;
}

/** A socket that VMs attach to, or the attachment of a single VM. */
export interface Link extends Disposable {
  /** What was bound or connected to, as a URL. */
  readonly address: string;
  /** VMs that found no place: too many of them, or the arena was full. */
  readonly refused: number;
  /** Detaches its VMs. */
  close(): void;
}
