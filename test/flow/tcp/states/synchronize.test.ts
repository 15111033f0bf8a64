/**
 * SYN in every state. One rule of our own: in SYN-RECEIVED a SYN elsewhere in the window is challenged as in the synchronized
 * states (RFC 9293 §3.10.7.4 would go back to LISTEN): an honest guest answers with the reset that does the same.
 */
import { CHECKED, each, explore, SYNCHRONIZED } from './explore.ts';

const OPENING = ['SYN_RECEIVED', 'SIMULTANEOUS'] as const;
const REFUSED = 'resetsOut; dropNoFlow; stays';
const DIALLED = 'host dialled; opened; SYN_RECEIVED';

explore('synchronize', {
  'SYN in the window': {
    rfc: 'RFC 9293 §3.10.7.2, .3, .4 fourth; RFC 5961 §4.2; RFC 9293 §3.6.1 MAY-2',
    expect: {
      ...each(CHECKED, 'ACK; challengeAcks; stays'),
      CLOSED: `SYN ACK seq new ack r+11; ${DIALLED}`,
      CONNECTING: 'stays',
      SYN_SENT: 'SYN ACK ack r+11; SYN_RECEIVED',
      TIME_WAIT: `SYN ACK seq new ack r+11; ${DIALLED}`,
    },
  },
  'SYN beyond the window': {
    rfc: 'RFC 9293 §3.10.7.4 first; RFC 5961 §4.2',
    expect: {
      ...each(CHECKED, 'ACK; dropUnacceptable; stays'),
      CLOSED: `SYN ACK seq new ack r+1001; ${DIALLED}`,
      CONNECTING: 'stays',
      SYN_SENT: 'SYN ACK ack r+1001; SYN_RECEIVED',
      TIME_WAIT: `SYN ACK seq new ack r+5097; ${DIALLED}`,
    },
  },
  'SYN before the window': {
    rfc: 'RFC 9293 §3.10.7.4 first; RFC 5961 §4.2',
    expect: {
      ...each(CHECKED, 'ACK; dropUnacceptable; stays'),
      CLOSED: `SYN ACK seq new ack r-999; ${DIALLED}`,
      CONNECTING: 'stays',
      SYN_SENT: 'SYN ACK ack r-999; SYN_RECEIVED',
    },
  },
  'the SYN again': {
    rfc: 'RFC 9293 §3.8.1: the SYN-ACK was lost',
    expect: {
      ...each(SYNCHRONIZED, 'ACK; dropUnacceptable; stays'),
      ...each(OPENING, 'SYN ACK; stays'),
      CLOSED: `SYN ACK seq new; ${DIALLED}`,
      CONNECTING: 'stays',
      SYN_SENT: 'SYN ACK; SYN_RECEIVED',
    },
  },
  'SYN with FIN': {
    rfc: 'README, What is left out: opens nothing; RFC 9293 §3.10.7.3',
    expect: {
      ...each(CHECKED, 'ACK; challengeAcks; stays'),
      CLOSED: `RST ACK seq 0 ack r+12; ${REFUSED}`,
      CONNECTING: 'stays',
      SYN_SENT: 'SYN ACK ack r+11; SYN_RECEIVED',
    },
  },
  'SYN with data': {
    rfc: 'RFC 9293 §3.10.7.2 third: the data is left for the guest to send again',
    expect: {
      ...each(CHECKED, 'ACK; challengeAcks; stays'),
      CLOSED: `SYN ACK seq new ack r+11; ${DIALLED}`,
      CONNECTING: 'stays',
      SYN_SENT: 'SYN ACK ack r+11; SYN_RECEIVED',
      TIME_WAIT: `SYN ACK seq new ack r+11; ${DIALLED}`,
    },
  },
  'SYN with RST': {
    rfc: 'RFC 9293 §3.10.7.1, .3 second, .4 first: a reset outside the window is dropped',
    expect: {
      ...each(CHECKED, 'dropUnacceptable; stays'),
      CLOSED: 'dropNoFlow; stays',
      CONNECTING: 'stays',
      SYN_SENT: 'stays',
    },
  },
  'SYN ACK of our SYN': {
    rfc: 'RFC 9293 §3.10.7.3 fourth, §3.5 figure 7',
    expect: {
      ...each(SYNCHRONIZED, 'ACK; dropUnacceptable; stays'),
      ...each(OPENING, 'ACK; ESTABLISHED'),
      CLOSED: `RST; ${REFUSED}`,
      CONNECTING: 'stays',
      SYN_SENT: 'ACK; ESTABLISHED',
    },
  },
  'SYN ACK of our SYN with data': {
    rfc: 'RFC 9293 §3.10.7.3 fourth: other text is processed',
    expect: {
      ...each(SYNCHRONIZED, 'ACK; dropUnacceptable; stays'),
      ...each(OPENING, 'ACK ack r+5; host gets hello; ESTABLISHED'),
      CLOSED: `RST; ${REFUSED}`,
      CONNECTING: 'stays',
      SYN_SENT: 'ACK ack r+5; host gets hello; ESTABLISHED',
    },
  },
  'SYN ACK of what was never sent': {
    rfc: 'RFC 9293 §3.5.2 group 2, §3.10.7.3 first',
    expect: {
      ...each(SYNCHRONIZED, 'ACK; dropUnacceptable; stays'),
      ...each(OPENING, 'RST seq s+100; resetsOut; stays'),
      CLOSED: `RST seq s+100; ${REFUSED}`,
      CONNECTING: 'stays',
      SYN_SENT: 'RST seq s+100; resetsOut; stays',
    },
  },
  'SYN ACK in the window': {
    rfc: 'RFC 5961 §4.2; RFC 9293 §3.10.7.3 fourth',
    expect: {
      ...each(CHECKED, 'ACK; challengeAcks; stays'),
      CLOSED: `RST; ${REFUSED}`,
      CONNECTING: 'stays',
      SYN_SENT: 'ACK ack r+11; ESTABLISHED',
    },
  },
});
