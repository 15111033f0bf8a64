/** What can happen to a connection, by group: a segment of the guest, something on the host, time, the link. */
import { ECONNRESET, ECONNREFUSED, EHOSTUNREACH } from '../../../../src/system/errno.ts';
import { ACK, FIN, PSH, RST, SYN, URG } from '../bench.ts';
import type { GuestSegment } from '../bench.ts';
import type { Situation } from './situations.ts';

type Act = (x: Situation) => void;

/** The guest sends one segment, acknowledging what it has acknowledged before unless told otherwise. */
function guest(make: (x: Situation) => GuestSegment): Act {
  return (x) => x.bench.guest({ seq: x.r, ack: x.a, ...make(x) });
}

export const EVENTS = {
  synchronize: {
    'SYN in the window': guest((x) => ({ flags: SYN, seq: x.r + 10 })),
    'SYN beyond the window': guest((x) => ({ flags: SYN, seq: x.r + x.window + 1000 })),
    'SYN before the window': guest((x) => ({ flags: SYN, seq: x.r - 1000 })),
    'the SYN again': guest((x) => ({ flags: SYN, seq: x.irs })),
    'SYN with FIN': guest((x) => ({ flags: SYN | FIN, seq: x.r + 10 })),
    'SYN with data': guest((x) => ({ flags: SYN, seq: x.r + 10, data: 'hello' })),
    'SYN with RST': guest((x) => ({ flags: SYN | RST, seq: x.irs })),
    'SYN ACK of our SYN': guest((x) => ({ flags: SYN | ACK, seq: x.irs, ack: x.iss + 1 })),
    'SYN ACK of our SYN with data': guest((x) => ({ flags: SYN | ACK, seq: x.irs, ack: x.iss + 1, data: 'hello' })),
    'SYN ACK of what was never sent': guest((x) => ({ flags: SYN | ACK, seq: x.irs, ack: x.s + 100 })),
    'SYN ACK in the window': guest((x) => ({ flags: SYN | ACK, seq: x.r + 10, ack: x.s })),
  },
  acknowledge: {
    'ACK of everything': guest((x) => ({ ack: x.s })),
    'ACK of a part': guest((x) => ({ ack: x.u + 2 })),
    'ACK that repeats the last': guest((x) => ({ ack: x.u })),
    'old ACK': guest((x) => ({ ack: x.u - 1 })),
    'ACK too old to be of this connection': guest((x) => ({ ack: x.u - 65_536 })),
    'ACK of what was never sent': guest((x) => ({ ack: x.s + 1 })),
    'segment without ACK': guest(() => ({ flags: PSH, data: 'hello' })),
    'keep-alive without a byte': guest((x) => ({ seq: x.r - 1, ack: x.s })),
    'keep-alive with a byte': guest((x) => ({ seq: x.r - 1, ack: x.s, data: '?' })),
    'window closed with everything acknowledged': guest((x) => ({ ack: x.s, window: 0 })),
    'host sends into a closed window, and time': (x) => {
      x.bench.guest({ seq: x.r, ack: x.s, window: 0 });
      x.stream?.put('more');
      x.bench.round();
      x.bench.later(1300);
    },
    'window reopens': (x) => {
      x.bench.guest({ seq: x.r, ack: x.s, window: 0 });
      x.stream?.put('more');
      x.bench.round();
      x.bench.guest({ seq: x.r, ack: x.s, window: 1000 });
    },
  },
  data: {
    'data in order': guest(() => ({ data: 'hello' })),
    'data that acknowledges everything': guest((x) => ({ data: 'hello', ack: x.s })),
    'data out of order': guest((x) => ({ seq: x.r + 10, data: 'hello' })),
    'data again': guest((x) => ({ seq: x.r - 5, data: 'early' })),
    'data partly old': guest((x) => ({ seq: x.r - 2, data: 'lyhello' })),
    'data beyond the window': guest((x) => ({ seq: x.r + x.window + 1, data: 'hello' })),
    'data at the right edge of the window': guest((x) => ({ seq: x.r + x.window, data: 'hello' })),
    'more data than the window, and a FIN': guest((x) => ({ flags: FIN | ACK, data: 'x'.repeat(x.window + 100) })),
    'urgent data': guest(() => ({ flags: ACK | URG, data: 'hello', urgent: 3 })),
    'data with an ACK of what was never sent': guest((x) => ({ data: 'hello', ack: x.s + 1 })),
  },
  fin: {
    'FIN alone': guest(() => ({ flags: FIN | ACK })),
    'FIN that acknowledges everything': guest((x) => ({ flags: FIN | ACK, ack: x.s })),
    'FIN with data': guest(() => ({ flags: FIN | ACK, data: 'hello' })),
    'FIN out of order': guest((x) => ({ flags: FIN | ACK, seq: x.r + 5 })),
    'FIN out of order, then what was missing': (x) => {
      x.bench.guest({ flags: FIN | ACK, seq: x.r + 5, ack: x.a });
      x.bench.guest({ seq: x.r, ack: x.a, data: 'hello' });
    },
    'FIN again': guest((x) => ({ flags: FIN | ACK, seq: x.r - 1 })),
    'FIN beyond the window': guest((x) => ({ flags: FIN | ACK, seq: x.r + x.window + 1 })),
    'FIN without ACK': guest(() => ({ flags: FIN })),
  },
  reset: {
    'RST at RCV.NXT': guest(() => ({ flags: RST })),
    'RST ACK at RCV.NXT': guest((x) => ({ flags: RST | ACK, ack: x.s })),
    'RST ACK of what was never sent': guest((x) => ({ flags: RST | ACK, ack: x.s + 100 })),
    'RST elsewhere in the window': guest((x) => ({ flags: RST, seq: x.r + 10 })),
    'RST beyond the window': guest((x) => ({ flags: RST, seq: x.r + x.window + 1 })),
    'RST before the window': guest((x) => ({ flags: RST, seq: x.r - 1 })),
    'RST with data': guest(() => ({ flags: RST, data: 'why' })),
  },
  host: {
    'host sends': (x) => {
      x.stream?.put('world');
      x.bench.round();
    },
    'host ends': (x) => {
      x.stream?.end();
      x.bench.round();
    },
    'host fails': (x) => {
      x.stream?.fail(ECONNRESET);
      x.bench.round();
    },
    'host takes nothing': (x) => {
      x.stream!.room = 0;
      x.bench.guest({ seq: x.r, ack: x.a, data: 'hello' });
    },
    'host drains': (x) => {
      x.stream!.room = 0;
      x.bench.guest({ seq: x.r, ack: x.a, data: 'x'.repeat(4096) });
      x.bench.drain();
      x.stream!.open(Infinity);
      x.bench.round();
    },
    'host connects': (x) => {
      x.stream?.finish();
      x.bench.round();
    },
    'host refuses': (x) => {
      x.stream?.finish(ECONNREFUSED);
      x.bench.round();
    },
    'host cannot be reached': (x) => {
      x.stream?.finish(EHOSTUNREACH);
      x.bench.round();
    },
  },
  time: {
    'retransmission timeout': (x) => x.bench.later(1300),
    'two minutes of silence': (x) => x.bench.later(121_000),
    'twenty minutes of silence': (x) => x.bench.later(1_200_000),
  },
  link: {
    'data while the link is full, then room': (x) => {
      x.bench.port.full = true;
      x.bench.guest({ seq: x.r, ack: x.a, data: 'hello' });
      x.bench.drained();
    },
    'link full for ever': (x) => {
      x.bench.port.full = true;
      x.bench.later(1_200_000);
    },
    'VM goes': (x) => x.bench.detach(),
    'engine closes': (x) => x.bench.engine.close(),
  },
} as const satisfies Record<string, Record<string, Act>>;

export type EventName<G extends keyof typeof EVENTS> = keyof (typeof EVENTS)[G];
