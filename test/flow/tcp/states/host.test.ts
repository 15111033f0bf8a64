/** What happens on the host in every state. */
import { each, explore, never, SYNCHRONIZED } from './explore.ts';

const OPENING = ['SYN_SENT', 'SYN_RECEIVED', 'SIMULTANEOUS'] as const;
const ENDED = ['FIN_WAIT_1', 'FIN_WAIT_2', 'CLOSING', 'LAST_ACK', 'CLOSED_BEHIND', 'TIME_WAIT_BEHIND'] as const;
const CONNECTED = [...OPENING, ...SYNCHRONIZED] as const;
const NO_HOST = {
  CLOSED: never('there is no host side'),
  TIME_WAIT: never('the host side is closed'),
};

function connecting(outcome: string): Record<'CLOSED' | 'CONNECTING' | (typeof CONNECTED)[number], string> {
  return { ...each(CONNECTED, never('the host is connected')), CLOSED: never('there is no host side'), CONNECTING: outcome };
}

explore('host', {
  'host sends': {
    rfc: 'RFC 9293 §3.10.2',
    expect: {
      ...each(OPENING, 'stays'),
      ...each(ENDED, never('the host has ended')),
      ...NO_HOST,
      CONNECTING: never('the host is not connected'),
      ESTABLISHED: 'PSH ACK world; stays',
      CLOSE_WAIT: 'PSH ACK world; stays',
    },
  },
  'host ends': {
    rfc: 'RFC 9293 §3.10.4; reported again it means nothing',
    expect: {
      ...each(OPENING, 'stays'),
      ...each(ENDED, 'stays'),
      ...NO_HOST,
      CONNECTING: never('the host is not connected'),
      ESTABLISHED: 'FIN ACK; FIN_WAIT_1',
      CLOSE_WAIT: 'FIN ACK; LAST_ACK',
    },
  },
  'host fails': {
    rfc: 'RFC 9293 §3.10.5; README: a reset is carried across, in CLOSING and LAST-ACK too',
    expect: {
      ...each(CONNECTED, 'RST ACK; host closed; resetsOut; gone'),
      ...NO_HOST,
      CONNECTING: 'RST ACK seq 0; host closed; refused; resetsOut; gone',
      SYN_SENT: 'RST; host closed; resetsOut; gone',
      CLOSED_BEHIND: 'host closed; gone',
      TIME_WAIT_BEHIND: 'host closed; gone',
    },
  },
  'host takes nothing': {
    rfc: 'RFC 9293 §3.10.7.4 seventh: what fits the window is taken and acknowledged',
    expect: {
      ...each(['CLOSE_WAIT', 'CLOSING', 'LAST_ACK', 'CLOSED_BEHIND', 'TIME_WAIT_BEHIND'], 'ACK; stays'),
      ...each(['ESTABLISHED', 'FIN_WAIT_1', 'FIN_WAIT_2'], 'ACK ack r+5; stays'),
      ...each(['SYN_RECEIVED', 'SIMULTANEOUS'], 'ACK ack r+5; ESTABLISHED'),
      ...NO_HOST,
      CONNECTING: never('the host is not connected'),
      SYN_SENT: 'stays',
    },
  },
  'host drains': {
    rfc: 'RFC 9293 §3.8.6.2.2: the window reopens; the end follows the data',
    expect: {
      ...each(['ESTABLISHED', 'FIN_WAIT_1', 'FIN_WAIT_2'], 'ACK ack r+4096; host gets 4096 bytes; stays'),
      ...each(['SYN_RECEIVED', 'SIMULTANEOUS'], 'ACK ack r+4096; host gets 4096 bytes; ESTABLISHED'),
      ...each(['CLOSE_WAIT', 'CLOSING', 'LAST_ACK'], 'stays'),
      ...NO_HOST,
      CONNECTING: never('the host is not connected'),
      SYN_SENT: 'stays',
      CLOSED_BEHIND: 'host gets held; host shut; host closed; gone',
      TIME_WAIT_BEHIND: 'host gets held; host shut; host closed; TIME_WAIT',
    },
  },
  'host connects': { rfc: 'README, Opening and closing; RFC 9293 §3.10.7.2', expect: connecting('SYN ACK seq new; SYN_RECEIVED') },
  'host refuses': {
    rfc: 'README, Opening and closing; RFC 9293 §3.10.7.1',
    expect: connecting('RST ACK seq 0; host closed; refused; resetsOut; gone'),
  },
  'host cannot be reached': {
    rfc: 'README, Opening and closing; RFC 1122 §3.2.2.1',
    expect: connecting('ICMP unreachable; host closed; unreachable; gone'),
  },
});
