import type { Link } from './link.ts';
import type { Port } from './port.ts';

/** What a network's owner hears of its links, outside the packet path. */
export interface LinkEvents {
  connected(port: Port): void;
  /** `reason` is text for the log. */
  disconnected(port: Port, reason: string): void;
  /** Somebody who wanted to attach, and could not; `reason` is text for the log. */
  refused?(reason: string): void;
  closed?(link: Link): void;
}
