/** How conversations end: both half-closes, resets in every state, and what comes after. */
import { host, NO_SACK, opening, type Script, send, SYN, wait } from './script.ts';

const CLOSED_BY_GUEST = [...opening(), send({ flags: 'FA' }), host.close, send({})];
const CLOSED_BY_HOST = [...opening(), host.close, send({ flags: 'FA' })];

export const ENDINGS: readonly Script[] = [
  { name: 'guest closes first', steps: [...opening(), send({ flags: 'FA' }), host.read(10), host.close, send({})] },
  { name: 'host closes first', steps: [...opening(), host.close, send({}), send({ flags: 'FA' })] },
  { name: 'host closes first, FIN on the same ACK', steps: CLOSED_BY_HOST },
  { name: 'both close at once', steps: [...opening(), host.close, send({ flags: 'FA', ack: 1 }), send({})] },
  { name: 'FIN with data', steps: [...opening(), send({ flags: 'PAF', data: 100 }), host.read(1000), host.close, send({})] },
  {
    name: 'FIN before its data',
    steps: [...opening(), send({ flags: 'PAF', seq: 101, data: 100 }), send({ seq: 1, data: 100 }), host.read(1000)],
  },
  {
    name: 'bare FIN before its data',
    steps: [...opening(), send({ flags: 'FA', seq: 101 }), send({ seq: 1, data: 100 }), host.read(1000)],
  },
  { name: 'FIN twice', steps: [...opening(), send({ flags: 'FA' }), send({ flags: 'FA', seq: 1 }), host.read(10)] },
  {
    name: 'FIN of the guest’s partly known',
    steps: [...opening(), send({ data: 100 }), send({ flags: 'FA', seq: 51, data: 100 }), host.read(1000)],
  },
  { name: 'data after the FIN', steps: [...opening(), send({ flags: 'FA' }), send({ data: 100 }), host.read(1000)] },
  {
    name: 'data before the FIN again',
    steps: [...opening(), send({ flags: 'PAF', data: 100 }), send({ seq: 1, data: 100 }), host.read(1000)],
  },
  {
    name: 'host goes on after the guest’s FIN',
    steps: [...opening(), send({ flags: 'FA' }), host.write(1000), send({}), host.write(1000), send({}), host.close, send({})],
  },
  {
    name: 'guest goes on after the host’s FIN',
    steps: [
      ...opening(),
      host.shutdown,
      send({}),
      send({ data: 1000 }),
      host.read(5000),
      send({ data: 1000, flags: 'PAF' }),
      host.read(5000),
    ],
  },
  { name: 'host writes and closes', steps: [...opening(), host.write(3000), host.close, send({}), send({ flags: 'FA' })] },
  { name: 'FIN of the host that nobody acknowledges', resent: true, steps: [...opening(NO_SACK), host.shutdown, wait(5500), send({})] },
  {
    name: 'FIN of the host behind lost data',
    resent: true,
    steps: [...opening(NO_SACK), host.write(1000), host.shutdown, wait(5500), send({})],
  },
  { name: 'host closes with unread data', steps: [...opening(), send({ data: 100 }), host.close, send({})] },
  { name: 'host shuts down with unread data', steps: [...opening(), send({ data: 100 }), host.shutdown, send({})] },
  { name: 'data after the host has closed', steps: [...opening(), host.close, send({}), send({ data: 100 }), send({ data: 100 })] },
  { name: 'host resets', steps: [...opening(), host.reset, send({ data: 10 })] },
  { name: 'host resets with data on the way', steps: [...opening(), host.write(1000), host.reset, send({ data: 10 })] },
  { name: 'host resets after the guest’s FIN', steps: [...opening(), send({ flags: 'FA' }), host.reset, send({})] },

  { name: 'RST exactly', steps: [...opening(), send({ flags: 'R' }), send({ data: 10 }), host.read(10)] },
  { name: 'RST with ACK exactly', steps: [...opening(), send({ flags: 'RA' }), send({ data: 10 }), host.read(10)] },
  { name: 'RST with data', steps: [...opening(), send({ flags: 'RA', data: 10 }), host.read(10)] },
  { name: 'RST behind unread data', steps: [...opening(), send({ data: 100 }), send({ flags: 'R' }), host.read(1000)] },
  { name: 'RST in the window', steps: [...opening(), send({ flags: 'R', seq: 100 }), send({ seq: 1, data: 10 }), host.read(10)] },
  {
    name: 'RST before the window',
    steps: [...opening(), send({ data: 100 }), send({ flags: 'R', seq: 50 }), send({ data: 10 }), host.read(1000)],
  },
  {
    name: 'RST beyond the window',
    steps: [...opening(), send({ flags: 'R', seq: 50_000_000 }), send({ seq: 1, data: 10 }), host.read(10)],
  },
  {
    name: 'RST behind the last SACKed byte',
    steps: [...opening(), send({ seq: 101, data: 100 }), send({ flags: 'R', seq: 201 }), send({ seq: 1, data: 100 }), host.read(1000)],
  },
  { name: 'RST with an ACK of the future', steps: [...opening(), send({ flags: 'RA', ack: 5000 }), send({ data: 10 }), host.read(10)] },
  { name: 'RST in FIN-WAIT-1', steps: [...opening(), host.close, send({ flags: 'R' }), send({ data: 10 })] },
  { name: 'RST in FIN-WAIT-2', steps: [...opening(), host.shutdown, send({}), send({ flags: 'R' }), send({ data: 10 }), host.read(10)] },
  { name: 'RST in CLOSE-WAIT', steps: [...opening(), send({ flags: 'FA' }), send({ flags: 'R' }), send({ seq: 2 }), host.read(10)] },
  { name: 'RST in CLOSING', steps: [...opening(), host.close, send({ flags: 'FA', ack: 1 }), send({ flags: 'R' }), send({})] },
  { name: 'RST in LAST-ACK', steps: [...opening(), send({ flags: 'FA' }), host.close, send({ flags: 'R' }), send({})] },
  { name: 'RST in TIME-WAIT', steps: [...CLOSED_BY_HOST, send({ flags: 'R' }), send({})] },

  { name: 'FIN again in TIME-WAIT', steps: [...CLOSED_BY_HOST, send({ flags: 'FA', seq: 1 })] },
  { name: 'ACK in TIME-WAIT', steps: [...CLOSED_BY_HOST, send({})] },
  { name: 'data in TIME-WAIT', steps: [...CLOSED_BY_HOST, send({ data: 10 })] },
  { name: 'SYN in TIME-WAIT', steps: [...CLOSED_BY_HOST, send({ ...SYN, seq: 100_000 }), send({}), send({ data: 10 }), host.read(10)] },
  { name: 'old SYN in TIME-WAIT', steps: [...CLOSED_BY_HOST, send({ ...SYN, seq: -100_000 }), send({})] },
  {
    name: 'SYN after the guest has closed first',
    steps: [...CLOSED_BY_GUEST, send({ ...SYN, seq: 100_000 }), send({}), send({ data: 10 }), host.read(10)],
  },
  { name: 'ACK after the end', steps: [...CLOSED_BY_GUEST, send({})] },
  {
    name: 'SYN after a reset',
    steps: [...opening(), send({ flags: 'R' }), send({ ...SYN, seq: 100_000 }), send({}), send({ data: 10 }), host.read(10)],
  },
  { name: 'SYN in CLOSE-WAIT', steps: [...opening(), send({ flags: 'FA' }), send({ ...SYN, seq: 100_000 }), send({ seq: 2 })] },
  { name: 'SYN in FIN-WAIT-2', steps: [...opening(), host.shutdown, send({}), send({ ...SYN, seq: 100_000 }), send({ seq: 1 })] },
  {
    name: 'acknowledgment of the FIN before it was sent',
    steps: [...opening(), send({ ack: 2 }), host.close, send({}), send({ flags: 'FA' })],
  },
  {
    name: 'guest closes with the host’s data on the way',
    steps: [...opening(), host.write(1000), send({ flags: 'FA', ack: 1 }), send({}), host.close, send({})],
  },
];
