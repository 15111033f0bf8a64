/**
 * A conversation as a list of steps: what a guest puts on the wire, what the application on the host does, how time passes.
 * What comes back is not part of a script: it is recorded after each step, from the kernel and from guestwire, and compared.
 *
 *     { name: 'data in order', steps: [...opening(), send({ data: 100 }), host.read(100)] }
 *
 * Sequence numbers are relative: 0 is the SYN, 1 the first byte.
 */

/** One TCP segment of the guest. What is left out is what an honest guest would send next. */
export interface SegmentSpec {
  /** Letters: S F R P A U, E and W for ECE and CWR. Default `A`. */
  readonly flags?: string;
  /** Default: behind everything sent so far. */
  readonly seq?: number;
  /** Default: everything the host has sent. */
  readonly ack?: number;
  /** Bytes of payload. Its content follows from its sequence number. */
  readonly data?: number;
  /** The window field, as it stands in the header. Default 65535. */
  readonly window?: number;
  readonly mss?: number;
  readonly scale?: number;
  readonly sackPermitted?: boolean;
  readonly timestamps?: boolean;
  /** Ranges of the host's sequence numbers. */
  readonly sack?: readonly (readonly [number, number])[];
  /** Option bytes as they are, padded to four. */
  readonly rawOptions?: readonly number[];
  readonly urgent?: number;
  /** The four bits between data offset and flags. */
  readonly reserved?: number;
  /** In words, where it lies. */
  readonly dataOffset?: number;
  readonly badChecksum?: boolean;
  /** A multiple of four bytes. */
  readonly ipOptions?: readonly number[];
  /** The two ECN bits of the IP header. */
  readonly ecn?: number;
  /** Fills the frame up to 60 bytes, as network cards do. */
  readonly padded?: boolean;
}

export type HostAction =
  /** Writes that many bytes. */
  | { readonly does: 'write'; readonly bytes: number }
  /** Reads up to that many bytes. */
  | { readonly does: 'read'; readonly bytes: number }
  /** Reads until nothing more comes. */
  | { readonly does: 'drain' }
  | { readonly does: 'shutdown' }
  | { readonly does: 'close' }
  /** Closes with a RST (SO_LINGER with no time). */
  | { readonly does: 'reset' }
  /** Nagle's algorithm, which is off otherwise. */
  | { readonly does: 'nagle' };

export type Step =
  /** `pause`: milliseconds until the next step, more than usual. */
  | { readonly kind: 'guest'; readonly segments: readonly SegmentSpec[]; readonly pause?: number }
  | { readonly kind: 'host'; readonly action: HostAction }
  | { readonly kind: 'wait'; readonly ms: number }
  /** The guest sends full segments until the window is closed. Afterwards its next sequence number is called FILLED. */
  | { readonly kind: 'fill' };

export const FILLED = 100_000_000;

export interface Script {
  readonly name: string;
  /** How the connection comes about. `closed`: nobody listens. Default: the host listens. */
  readonly host?: 'listens' | 'connects' | 'closed';
  /** The guest's initial sequence number. Default 1,000,000. */
  readonly isn?: number;
  /** SO_RCVBUF of the application. */
  readonly receiveBuffer?: number;
  /** Retransmissions are compared as well. Otherwise what was sent before does not count: a slow machine makes them. */
  readonly resent?: boolean;
  /** `net.ipv4.` settings of the kernel that differ from those in `kernel-world.ts`. */
  readonly sysctl?: Readonly<Record<string, string>>;
  readonly steps: readonly Step[];
}

/** Segments that arrive together. */
export function send(...segments: SegmentSpec[]): Step {
  return { kind: 'guest', segments };
}

export function wait(ms: number): Step {
  return { kind: 'wait', ms };
}

export const fill: Step = { kind: 'fill' };

export const host = {
  write: (bytes: number): Step => ({ kind: 'host', action: { does: 'write', bytes } }),
  read: (bytes: number): Step => ({ kind: 'host', action: { does: 'read', bytes } }),
  drain: { kind: 'host', action: { does: 'drain' } } as Step,
  shutdown: { kind: 'host', action: { does: 'shutdown' } } as Step,
  close: { kind: 'host', action: { does: 'close' } } as Step,
  reset: { kind: 'host', action: { does: 'reset' } } as Step,
  nagle: { kind: 'host', action: { does: 'nagle' } } as Step,
} as const;

/** A SYN as Linux sends it, without timestamps. */
export const SYN: SegmentSpec = { flags: 'S', mss: 1460, scale: 7, sackPermitted: true };
export const NO_SACK: SegmentSpec = { flags: 'S', mss: 1460, scale: 7 };

/**
 * The round trip that the host measures, in milliseconds: long, so that nothing is sent again by the clock while a busy machine
 * takes its time for a step.
 */
const HANDSHAKE = 400;
/** The timeout that follows: three times as long (RFC 6298 §2.2). */
export const TIMEOUT: number = 3 * HANDSHAKE;

/** The handshake of a guest that connects; `ack` is its last segment. */
export function opening(syn: SegmentSpec = SYN, ack: SegmentSpec = {}): Step[] {
  return [{ kind: 'guest', segments: [syn], pause: HANDSHAKE }, send(ack)];
}

/** A step as one line of a trace. */
export function describe(step: Step): string {
  if (step.kind === 'guest') return `guest ${step.segments.map((spec) => JSON.stringify(spec).replaceAll('"', '')).join(' ')}`;
  if (step.kind === 'wait') return `wait ${step.ms}`;
  if (step.kind === 'fill') return 'guest fills the window';
  const { action } = step;
  return `host ${action.does}${'bytes' in action ? ` ${action.bytes}` : ''}`;
}
