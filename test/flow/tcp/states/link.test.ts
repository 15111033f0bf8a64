/** The VM's link in every state: full, and gone. While it is full nothing counts as unanswered. */
import { each, explore, FINISHED, SYNCHRONIZED } from './explore.ts';

const OPENING = ['SYN_RECEIVED', 'SIMULTANEOUS'] as const;
const IN_FLIGHT = ['ESTABLISHED', 'FIN_WAIT_1', 'CLOSE_WAIT', 'CLOSING', 'LAST_ACK'] as const;
const BEHIND = ['CLOSED_BEHIND', 'TIME_WAIT_BEHIND'] as const;

explore('link', {
  'data while the link is full, then room': {
    rfc: 'README, A round',
    expect: {
      ...each(OPENING, 'ACK ack r+5; host gets hello; ESTABLISHED'),
      ...each(['ESTABLISHED', 'FIN_WAIT_1', 'FIN_WAIT_2'], 'ACK ack r+5; host gets hello; stays'),
      ...each(FINISHED, 'ACK; stays'),
      CLOSED: 'dropNoFlow; stays',
      CONNECTING: 'stays',
      SYN_SENT: 'stays',
    },
  },
  'link full for ever': {
    rfc: 'RFC 9293 §3.8.3: R2 counts what was sent',
    expect: {
      ...each(['SYN_SENT', ...OPENING], 'timeouts 24; stays'),
      ...each(IN_FLIGHT, 'host watched; timeouts; stays'),
      ...each(BEHIND, 'host watched; stays'),
      CLOSED: 'stays',
      CONNECTING: 'host reset; timedOut; gone',
      FIN_WAIT_2: 'host watched; stays',
      TIME_WAIT: 'gone',
    },
  },
  'VM goes': {
    rfc: 'README, Opening and closing: nobody reads what the host sends, but the end of what the guest sent is the host’s',
    expect: {
      ...each(['CONNECTING', 'SYN_SENT', ...OPENING], 'host reset; gone'),
      ...each(['ESTABLISHED', 'FIN_WAIT_1', 'FIN_WAIT_2'], 'host reset; gone'),
      ...each(['CLOSE_WAIT', 'CLOSING', 'LAST_ACK'], 'host closed; gone'),
      CLOSED: 'stays',
      CLOSED_BEHIND: 'stays',
      TIME_WAIT_BEHIND: 'CLOSED_BEHIND',
      TIME_WAIT: 'gone',
    },
  },
  'engine closes': {
    rfc: 'RFC 9293 §3.10.5: ABORT; in CLOSING and LAST-ACK a reset too, the host did not get everything for certain',
    expect: {
      ...each(SYNCHRONIZED, 'RST ACK; host reset; resetsOut; gone'),
      ...each(OPENING, 'RST ACK; host reset; resetsOut; gone'),
      ...each(BEHIND, 'host reset; gone'),
      CLOSED: 'stays',
      CONNECTING: 'RST ACK seq 0; host reset; resetsOut; gone',
      SYN_SENT: 'RST; host reset; resetsOut; gone',
      TIME_WAIT: 'gone',
    },
  },
});
