/**
 * A port is one VM's end of the wire, as the switch and the gateway see it: a place to write frames.
 *
 * Frames are written where the link will send them from: claim room, put the frame behind the link's own header, commit.
 *
 *     claim(n) ──► [headroom | frame][headroom | frame] …      each commit hands over one frame, in order, contiguous
 */
import { HEADER as ETHERNET_HEADER } from '../packet/ethernet.ts';

export interface Port {
  /** Increasing, never reused. */
  readonly id: number;
  /** For listings and logs. */
  readonly name: string;
  /** Bytes before each frame that belong to the link (length prefix, virtio-net header). */
  readonly headroom: number;
  /**
   * A virtio-net header (`packet/vnet-header.ts`) stands right in front of each frame, in both directions: the VM gives and takes
   * TCP segments larger than its MTU, with checksums that are to be completed. Those it gives have been checked by the link.
   */
  readonly offload: boolean;
  /** Bytes of the largest frame, Ethernet header included, that the VM takes; 0: what the network's MTU allows. */
  readonly largestFrame: number;
  /**
   * Arena offset with `bytes` contiguous writable bytes behind it, headroom of each frame included, or -1 while the VM
   * is not draining its link; `drained` of the receiver is called when there is room again. A claim that is not
   * committed costs nothing; the next claim returns the same place.
   */
  claim(bytes: number): number;
  /**
   * Hands over the frame of `length` bytes at arena offset `at`: claim + headroom, or behind the frame committed last. `described`:
   * the caller has filled in the virtio-net header in front of it, which only ports with `offload` have; the port clears it else.
   */
  commit(at: number, length: number, described?: boolean): void;
  readonly counters: PortCounters;
  /** Sees every frame in both directions; null for none. */
  tap: FrameTap | null;
}

/** An Ethernet header and the largest IPv4 packet. */
export const LARGEST_FRAME: number = ETHERNET_HEADER + 65_535;

/** A frame lies in `bytes` during the call only. */
export interface FrameTap {
  fromGuest(bytes: Uint8Array, at: number, length: number): void;
  toGuest(bytes: Uint8Array, at: number, length: number): void;
  /** There will be no more: the VM that was looked at has gone, or the network. */
  ended?(): void;
}

export interface PortCounters {
  /** Frames and bytes (Ethernet header included, framing excluded) from the VM and to it. */
  rxFrames: number;
  rxBytes: number;
  txFrames: number;
  txBytes: number;
  /** Frames for the VM that found no room. */
  txDropped: number;
  /** Frames from the VM that were refused, whatever the reason. */
  rxDropped: number;
  /** Of these: in the name of another VM, by its MAC or IP address. */
  rxForged: number;
}

export function portCounters(): PortCounters {
  return { rxFrames: 0, rxBytes: 0, txFrames: 0, txBytes: 0, txDropped: 0, rxDropped: 0, rxForged: 0 };
}

/** Adds `counters` to `sum`. */
export function addCounters(sum: PortCounters, counters: PortCounters): void {
  for (const name of Object.keys(sum) as (keyof PortCounters)[]) sum[name] += counters[name];
}

/** What a link feeds: the switch. Frames lie in the arena and are valid until `endOfBatch` returns. */
export interface FrameReceiver {
  /** One frame of `length` bytes (any length from 0) at arena offset `at`. */
  frame(port: Port, at: number, length: number): void;
  /** Every frame of one read was delivered: the place is about to be reused. */
  endOfBatch(): void;
  /** A port whose `claim` failed has room again. */
  drained(port: Port): void;
  attached(port: Port): void;
  /** The VM is gone; the port must not be used any more. */
  detached(port: Port): void;
}
