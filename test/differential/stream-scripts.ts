/** Data in both directions: order, windows, acknowledgments, losses. */
import { FILLED, fill, host, NO_SACK, opening, type Script, send, SYN, wait } from './script.ts';

const GUEST_SENDS: readonly Script[] = [
  { name: 'data in order', steps: [...opening(), send({ data: 1000, flags: 'PA' }), send({ data: 1000, flags: 'PA' }), host.read(5000)] },
  { name: 'data without PSH', steps: [...opening(), send({ data: 1000 }), host.read(5000)] },
  {
    name: 'data across the wrap of sequence numbers',
    isn: -500,
    steps: [...opening(), send({ data: 1000 }), send({ seq: 2001, data: 1000 }), send({ seq: 1001, data: 1000 }), host.read(5000)],
  },
  {
    name: 'data out of order',
    steps: [
      ...opening(),
      send({ seq: 101, data: 100 }),
      send({ seq: 301, data: 100 }),
      send({ seq: 201, data: 100 }),
      send({ seq: 1, data: 100 }),
      host.read(1000),
    ],
  },
  {
    name: 'data out of order without SACK',
    steps: [
      ...opening(NO_SACK),
      send({ seq: 101, data: 100 }),
      send({ seq: 301, data: 100 }),
      send({ seq: 201, data: 100 }),
      send({ seq: 1, data: 100 }),
      host.read(1000),
    ],
  },
  {
    name: 'five gaps',
    steps: [
      ...opening(),
      ...[1, 3, 5, 7, 9].map((i) => send({ seq: i * 100 + 1, data: 100 })),
      send({ seq: 1, data: 100 }),
      host.read(2000),
    ],
  },
  {
    name: 'data out of order again',
    steps: [...opening(), send({ seq: 101, data: 100 }), send({ seq: 101, data: 100 }), send({ seq: 1, data: 100 }), host.read(1000)],
  },
  { name: 'data twice', steps: [...opening(), send({ seq: 1, data: 100 }), send({ seq: 1, data: 100 }), host.read(1000)] },
  {
    name: 'data twice, reports of duplicates switched on in the kernel',
    sysctl: { tcp_dsack: '1' },
    steps: [...opening(), send({ seq: 1, data: 100 }), send({ seq: 1, data: 100 })],
  },
  { name: 'data partly known', steps: [...opening(), send({ seq: 1, data: 100 }), send({ seq: 51, data: 100 }), host.read(1000)] },
  {
    name: 'data over a gap from both sides',
    steps: [...opening(), send({ seq: 101, data: 100 }), send({ seq: 51, data: 200 }), send({ seq: 1, data: 120 }), host.read(1000)],
  },
  {
    name: 'data before the window',
    steps: [...opening(), send({ seq: 1, data: 100 }), send({ seq: -1000, data: 100 }), send({ data: 100 }), host.read(1000)],
  },
  {
    name: 'ACK before the window twice, rationed answers switched on in the kernel',
    sysctl: { tcp_invalid_ratelimit: '500' },
    steps: [...opening(), send({ seq: -1000 }), send({ seq: -1000 })],
  },
  {
    name: 'data far beyond the window',
    steps: [...opening(), send({ seq: 50_000_000, data: 100 }), send({ seq: 1, data: 100 }), host.read(1000)],
  },
  {
    name: 'data that begins in the window and ends beyond',
    receiveBuffer: 4096,
    steps: [...opening(NO_SACK), fill, send({ data: 100 }), host.drain],
  },
  { name: 'empty segment in order', steps: [...opening(), send({}), send({ data: 100 })] },
  { name: 'empty segment before the window', steps: [...opening(), send({ data: 100 }), send({ seq: 50 })] },
  { name: 'empty segment beyond the window', steps: [...opening(), send({ seq: 50_000_000 }), send({ seq: 1, data: 10 })] },
  { name: 'keep-alive without data', steps: [...opening(), send({ data: 100 }), send({ seq: 100 }), send({ seq: 100 })] },
  { name: 'keep-alive with a byte', steps: [...opening(), send({ data: 100 }), send({ seq: 100, data: 1 }), host.read(1000)] },
  { name: 'urgent data', steps: [...opening(), send({ data: 100, flags: 'PAU', urgent: 100 }), send({ data: 100 }), host.read(1000)] },
  {
    name: 'urgent pointer beyond the segment',
    steps: [...opening(), send({ data: 100, flags: 'PAU', urgent: 5000 }), send({ data: 100 }), host.read(1000)],
  },
  { name: 'data without ACK', steps: [...opening(), send({ data: 100, flags: 'P' }), send({ seq: 1, data: 100 }), host.read(1000)] },
  { name: 'segment without flags', steps: [...opening(), send({ flags: '' }), send({ data: 100 })] },
  { name: 'SYN within the window', steps: [...opening(), send({ ...SYN, seq: 200 }), send({ seq: 1, data: 100 }), host.read(1000)] },
  { name: 'SYN before the window', steps: [...opening(), send({ ...SYN, seq: -5000 }), send({ seq: 1, data: 100 }), host.read(1000)] },
  {
    name: 'first SYN again when established',
    steps: [...opening(), send({ ...SYN, seq: 0 }), send({ seq: 1, data: 100 }), host.read(1000)],
  },
  { name: 'SYN-ACK when established', steps: [...opening(), send({ flags: 'SA', seq: 1 }), send({ seq: 1, data: 100 }), host.read(1000)] },
  { name: 'reserved bits', steps: [...opening(), send({ data: 100, reserved: 0b1110 }), host.read(1000)] },
  {
    name: 'ECN bits without agreement',
    steps: [...opening(), send({ data: 100, ecn: 3 }), send({ data: 100, flags: 'AEW', ecn: 1 }), host.read(1000)],
  },
  { name: 'IP options', steps: [...opening(), send({ data: 100, ipOptions: [1, 1, 1, 0] }), host.read(1000)] },
  {
    name: 'padded frame',
    steps: [send({ flags: 'S', mss: 1460, padded: true }), send({ padded: true }), send({ data: 1, padded: true }), host.read(1000)],
  },
  { name: 'wrong checksum', steps: [...opening(), send({ data: 100, badChecksum: true }), send({ seq: 1, data: 100 }), host.read(1000)] },
  {
    name: 'data offset below five',
    steps: [...opening(), send({ data: 100, dataOffset: 4 }), send({ seq: 1, data: 100 }), host.read(1000)],
  },
  {
    name: 'data offset beyond the segment',
    steps: [...opening(), send({ data: 10, dataOffset: 15 }), send({ seq: 1, data: 100 }), host.read(1000)],
  },
  { name: 'window closes and opens', receiveBuffer: 8192, steps: [...opening(), fill, host.drain, send({ data: 100 }), host.drain] },
  {
    name: 'probes of a closed window',
    receiveBuffer: 8192,
    steps: [
      ...opening(),
      fill,
      send({ seq: FILLED - 1 }),
      send({ data: 1 }),
      send({ seq: FILLED, data: 1 }),
      host.drain,
      send({ seq: FILLED, data: 100 }),
      host.drain,
    ],
  },
  {
    name: 'FIN at a closed window',
    receiveBuffer: 8192,
    steps: [...opening(), fill, send({ flags: 'FA' }), host.drain, send({ seq: FILLED, flags: 'FA' }), host.drain],
  },
  { name: 'RST at a closed window', receiveBuffer: 8192, steps: [...opening(), fill, send({ flags: 'RA' }), host.drain] },
  {
    name: 'ACK of data at a closed window',
    receiveBuffer: 8192,
    steps: [...opening(), fill, host.write(100), send({}), host.write(100), send({})],
  },
];

const HOST_SENDS: readonly Script[] = [
  { name: 'host sends one segment', steps: [...opening(), host.write(1000), send({})] },
  { name: 'host sends several segments', steps: [...opening(), host.write(10_000), send({})] },
  {
    name: 'host sends more than the guest’s window',
    steps: [...opening(SYN, { window: 8 }), host.write(5000), send({ window: 8 }), send({ window: 8 }), send({ window: 100 }), send({})],
  },
  {
    name: 'window of one byte',
    steps: [...opening({ ...SYN, scale: 0 }, { window: 1 }), host.write(3), send({ window: 1 }), send({ window: 1 })],
  },
  {
    name: 'closed window of the guest and its opening',
    steps: [...opening(), send({ window: 0 }), host.write(1000), send({ window: 100 }), send({})],
  },
  {
    name: 'probes of a closed window of the guest',
    resent: true,
    steps: [...opening(), send({ window: 0 }), host.write(1000), wait(5500), send({ window: 100 })],
  },
  {
    name: 'guest shrinks its window',
    steps: [
      ...opening({ ...SYN, scale: 0 }, { window: 4000 }),
      host.write(8000),
      send({ ack: 1461, window: 1000 }),
      send({ window: 4000 }),
      send({ window: 60_000 }),
    ],
  },
  {
    name: 'smaller window on an ACK of nothing new',
    steps: [...opening({ ...SYN, scale: 0 }), send({ window: 500 }), host.write(600), send({ window: 500 })],
  },
  {
    name: 'window from an older segment',
    steps: [
      ...opening({ ...SYN, scale: 0 }),
      send({ data: 100, window: 0 }),
      send({ seq: 1, window: 5000 }),
      host.write(1000),
      send({ window: 5000 }),
    ],
  },
  { name: 'data that nobody acknowledges', resent: true, steps: [...opening(NO_SACK), host.write(1000), wait(5500), send({})] },
  { name: 'several segments that nobody acknowledges', resent: true, steps: [...opening(NO_SACK), host.write(5840), wait(5500), send({})] },
  {
    name: 'three duplicates',
    resent: true,
    steps: [...opening(NO_SACK), host.write(14_600), send({ ack: 1 }), send({ ack: 1 }, { ack: 1 }), send({})],
  },
  { name: 'two duplicates', resent: true, steps: [...opening(NO_SACK), host.write(7300), send({ ack: 1 }, { ack: 1 }), send({})] },
  {
    name: 'duplicates with changing windows',
    resent: true,
    steps: [
      ...opening(NO_SACK, { window: 500 }),
      host.write(7300),
      send({ ack: 1, window: 600 }, { ack: 1, window: 700 }, { ack: 1, window: 800 }),
      send({}),
    ],
  },
  {
    name: 'SACK of one loss',
    resent: true,
    steps: [
      ...opening(),
      host.write(14_600),
      send({ ack: 1, sack: [[1461, 2921]] }, { ack: 1, sack: [[1461, 4381]] }, { ack: 1, sack: [[1461, 5841]] }),
      send({}),
    ],
  },
  {
    name: 'SACK of two losses',
    resent: true,
    steps: [
      ...opening(),
      host.write(14_600),
      send(
        { ack: 1, sack: [[1461, 2921]] },
        {
          ack: 1,
          sack: [
            [4381, 5841],
            [1461, 2921],
          ],
        },
        {
          ack: 1,
          sack: [
            [4381, 7301],
            [1461, 2921],
          ],
        },
        {
          ack: 1,
          sack: [
            [4381, 8761],
            [1461, 2921],
          ],
        },
      ),
      send({}),
    ],
  },
  {
    name: 'SACK beyond what was sent',
    resent: true,
    steps: [
      ...opening(),
      host.write(7300),
      send({ ack: 1, sack: [[1461, 20_001]] }, { ack: 1, sack: [[1461, 30_001]] }, { ack: 1, sack: [[1461, 40_001]] }),
      send({}),
    ],
  },
  {
    name: 'SACK without agreement',
    resent: true,
    steps: [...opening(NO_SACK), host.write(7300), send({ ack: 1, sack: [[1461, 2921]] }), send({})],
  },
  {
    name: 'SACK of what was acknowledged',
    resent: true,
    steps: [...opening(), host.write(7300), send({ ack: 1461, sack: [[1, 1461]] }), send({})],
  },
  {
    name: 'SACK taken back',
    resent: true,
    steps: [...opening(), host.write(7300), wait(600), send({ ack: 1, sack: [[1461, 7301]] }), send({ ack: 1461 }), wait(1800), send({})],
  },
  {
    name: 'partial acknowledgment in recovery',
    resent: true,
    steps: [...opening(NO_SACK), host.write(14_600), send({ ack: 1 }, { ack: 1 }, { ack: 1 }), send({ ack: 2921 }), send({})],
  },
  {
    name: 'acknowledgment within a segment',
    resent: true,
    steps: [...opening(), host.write(1000), send({ ack: 501 }), wait(1800), send({})],
  },
  { name: 'acknowledgment from before', steps: [...opening(), host.write(1000), send({}), send({ ack: 1, data: 10 }), host.read(100)] },
  {
    name: 'acknowledgment of the future',
    steps: [...opening(), host.write(1000), send({ ack: 5000 }), send({}), send({ data: 10 }), host.read(100)],
  },
  {
    name: 'acknowledgment of the future with data',
    steps: [...opening(), send({ ack: 5000, data: 10 }), send({ seq: 1, data: 10 }), host.read(100)],
  },
  {
    name: 'acknowledgment from a life before',
    steps: [...opening(), host.write(1000), send({}), send({ ack: -20_000_000, data: 10 }), send({ seq: 1, data: 10 }), host.read(100)],
  },
  { name: 'small writes without Nagle', steps: [...opening(), host.write(10), host.write(10), host.write(10), send({})] },
  {
    name: 'small writes with Nagle',
    steps: [...opening(), host.nagle, host.write(10), host.write(10), host.write(10), send({}), send({})],
  },
  { name: 'initial window', steps: [...opening(), host.write(50_000), send({ ack: 14_601 }), send({}), send({})] },
  { name: 'data crosses data', steps: [...opening(), host.write(100), send({ data: 100, ack: 1 }), send({}), host.read(200)] },
  {
    name: 'host sends across the wrap of the guest’s numbers',
    isn: -2,
    steps: [...opening(), host.write(3000), send({ data: 10 }), host.read(10)],
  },
];

export const STREAMS: readonly Script[] = [...GUEST_SENDS, ...HOST_SENDS];
