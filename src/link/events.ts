import type { Port } from './port.ts';
import type { QemuListener } from './qemu.ts';

/** What a network's owner hears of its links, outside the packet path. */
export interface LinkEvents {
  connected(port: Port): void;
  /** `reason` is text for the log. */
  disconnected(port: Port, reason: string): void;
  listenerClosed?(listener: QemuListener): void;
}
