/**
 * One connection brought into each state, and the numbers a segment is made from.
 *
 *     r    what the engine expects next from the guest (RCV.NXT)      u ── in flight ── s    SND.UNA and SND.NXT
 *     a    what the guest's segments acknowledge unless an event says otherwise
 *
 * All numbers are those seen on the wire. Wherever the state allows it the host's "data" is in flight: four bytes, and the FIN
 * where one was sent.
 */
import { EINPROGRESS } from '../../../../src/system/errno.ts';
import { ACK, Bench, FIN, type Sent, SYN } from '../bench.ts';
import type { FakeStream } from '../fake-host.ts';

/**
 * RFC 9293 §3.3.2 (CLOSED stands for LISTEN too: the gateway has no fixed listeners), CONNECTING, both ways into SYN-RECEIVED, and
 * the two in which the guest is done but the host has not taken everything yet.
 */
export const STATES = [
  'CLOSED',
  'CONNECTING',
  'SYN_SENT',
  'SYN_RECEIVED',
  'SIMULTANEOUS',
  'ESTABLISHED',
  'FIN_WAIT_1',
  'FIN_WAIT_2',
  'CLOSE_WAIT',
  'CLOSING',
  'LAST_ACK',
  'TIME_WAIT',
  'CLOSED_BEHIND',
  'TIME_WAIT_BEHIND',
] as const;

export type StateName = (typeof STATES)[number];

export interface Situation {
  readonly bench: Bench;
  /** Absent in CLOSED. */
  readonly stream: FakeStream | undefined;
  /** Sequence number of the guest's SYN. */
  readonly irs: number;
  /** Sequence number of ours. */
  readonly iss: number;
  readonly r: number;
  readonly u: number;
  readonly s: number;
  readonly a: number;
  /** Bytes of the receive window that was advertised: 0 while there was none. */
  readonly window: number;
}

const IRS = 5000;
/** What a guest would acknowledge that takes part in no connection. */
const NOWHERE = 90_000;
const SCALE = 7;

/** Keeps the numbers of a connection up with its frames. */
class Wire {
  readonly bench: Bench;
  iss = NOWHERE - 1;
  u = NOWHERE;
  s = NOWHERE;
  #edge = 0;

  constructor() {
    this.bench = new Bench({ limits: { receiveWindow: 4096 } });
    this.bench.seq = IRS;
  }

  /** Takes what was sent to the guest. */
  see(): void {
    for (const sent of this.bench.drain()) {
      if (sent.flags & SYN) this.iss = this.u = sent.seq;
      this.s = end(sent);
      const edge = (sent.ack + (sent.flags & SYN ? sent.window : sent.window << SCALE)) | 0;
      // A window in units may look smaller than the one before; what was offered stays (RFC 7323 §2.4).
      if (sent.flags & ACK && ((edge - this.#edge) | 0) > 0) this.#edge = edge;
    }
  }

  /** The guest has everything that was sent, and says so. */
  settle(): void {
    this.see();
    this.bench.ack = this.u = this.s;
    this.bench.guest({});
    this.see();
  }

  /** The guest sends a segment that acknowledges nothing new. */
  guest(segment: { flags?: number; data?: string }): void {
    this.bench.guest({ ack: this.u, ...segment });
    this.see();
  }

  situation(acknowledges: number = this.u): Situation {
    const { bench, iss, u, s } = this;
    const window = Math.max((this.#edge - bench.seq) | 0, 0);
    return { bench, stream: bench.host.streams.at(-1), irs: IRS, iss, r: bench.seq, u, s, a: acknowledges, window };
  }
}

function end({ seq, flags, data }: Sent): number {
  return (seq + data.length + (flags & FIN) + ((flags & SYN) >> 1)) | 0;
}

/** Established, with bytes exchanged both ways and acknowledged. */
function established(): Wire {
  const wire = new Wire();
  wire.bench.guest({ flags: SYN });
  wire.settle();
  wire.guest({ data: 'early' });
  wire.bench.stream.put('first');
  wire.bench.round();
  wire.settle();
  return wire;
}

/** The host sends "data" (and ends), and the guest has not acknowledged it. */
function sending(wire: Wire, ends: boolean): Wire {
  wire.bench.stream.put('data');
  if (ends) wire.bench.stream.end();
  wire.bench.round();
  wire.see();
  return wire;
}

/** Established, and from now on the host takes nothing. */
function hostBehind(): Wire {
  const wire = established();
  wire.bench.stream.room = 0;
  return wire;
}

const BUILDERS: Record<StateName, () => Situation> = {
  CLOSED: () => {
    const wire = new Wire();
    wire.bench.seq = IRS + 1;
    return wire.situation();
  },
  CONNECTING: () => {
    const wire = new Wire();
    wire.bench.host.answer = -EINPROGRESS;
    wire.bench.guest({ flags: SYN });
    return wire.situation();
  },
  SYN_SENT: () => {
    const wire = new Wire();
    wire.bench.fromHost();
    wire.see();
    wire.bench.seq = IRS + 1;
    return wire.situation(wire.s);
  },
  SYN_RECEIVED: () => {
    const wire = new Wire();
    wire.bench.guest({ flags: SYN });
    wire.see();
    return wire.situation(wire.s);
  },
  SIMULTANEOUS: () => {
    const wire = new Wire();
    wire.bench.fromHost();
    wire.see();
    wire.bench.guest({ flags: SYN });
    wire.see();
    return wire.situation(wire.s);
  },
  ESTABLISHED: () => sending(established(), false).situation(),
  FIN_WAIT_1: () => sending(established(), true).situation(),
  FIN_WAIT_2: () => {
    const wire = sending(established(), true);
    wire.settle();
    return wire.situation();
  },
  CLOSE_WAIT: () => {
    const wire = established();
    wire.guest({ flags: FIN | ACK });
    return sending(wire, false).situation();
  },
  CLOSING: () => {
    const wire = sending(established(), true);
    wire.guest({ flags: FIN | ACK });
    return wire.situation();
  },
  LAST_ACK: () => {
    const wire = established();
    wire.guest({ flags: FIN | ACK });
    return sending(wire, true).situation();
  },
  TIME_WAIT: () => {
    const wire = sending(established(), true);
    wire.settle();
    wire.guest({ flags: FIN | ACK });
    return wire.situation();
  },
  CLOSED_BEHIND: () => {
    const wire = hostBehind();
    wire.guest({ flags: FIN | ACK, data: 'held' });
    sending(wire, true).settle();
    return wire.situation();
  },
  TIME_WAIT_BEHIND: () => {
    const wire = sending(hostBehind(), true);
    wire.settle();
    wire.guest({ flags: FIN | ACK, data: 'held' });
    return wire.situation();
  },
};

export function situation(state: StateName): Situation {
  return BUILDERS[state]();
}
