/** Segment text in every state. */
import { CHECKED, each, explore, FINISHED, SYNCHRONIZED } from './explore.ts';

const OPENING = ['SYN_RECEIVED', 'SIMULTANEOUS'] as const;
const RECEIVING = ['ESTABLISHED', 'FIN_WAIT_1', 'FIN_WAIT_2'] as const;
const REFUSED = 'resetsOut; dropNoFlow; stays';
const UNOPENED = { CLOSED: `RST; ${REFUSED}`, CONNECTING: 'stays', SYN_SENT: 'stays' };

const HELLO = {
  ...UNOPENED,
  ...each(OPENING, 'ACK ack r+5; host gets hello; ESTABLISHED'),
  ...each(RECEIVING, 'ACK ack r+5; host gets hello; stays'),
  ...each(FINISHED, 'ACK; stays'),
};

const OUTSIDE = { ...UNOPENED, ...each(CHECKED, 'ACK; dropUnacceptable; stays') };

explore('data', {
  'data in order': { rfc: 'RFC 9293 §3.10.7.4 seventh', expect: HELLO },
  'data that acknowledges everything': {
    rfc: 'RFC 9293 §3.10.7.4 fifth and seventh',
    expect: {
      ...UNOPENED,
      ...each(OPENING, 'ACK ack r+5; host gets hello; ESTABLISHED'),
      ...each(FINISHED, 'ACK; stays'),
      ESTABLISHED: 'ACK ack r+5; host gets hello; host rid of 4; stays',
      FIN_WAIT_1: 'ACK ack r+5; host gets hello; host rid of 4; FIN_WAIT_2',
      FIN_WAIT_2: 'ACK ack r+5; host gets hello; stays',
      CLOSE_WAIT: 'ACK; host rid of 4; stays',
      CLOSING: 'ACK; host rid of 4; host closed; TIME_WAIT',
      LAST_ACK: 'host rid of 4; host closed; gone',
    },
  },
  'data out of order': {
    rfc: 'RFC 9293 §3.10.7.4 seventh; RFC 5681 §4.2: an ACK at once',
    expect: {
      ...UNOPENED,
      ...each(OPENING, 'ACK; outOfOrder; ESTABLISHED'),
      ...each(RECEIVING, 'ACK; outOfOrder; stays'),
      ...each(FINISHED, 'ACK; stays'),
    },
  },
  'data again': { rfc: 'RFC 9293 §3.10.7.4 first', expect: OUTSIDE },
  'data partly old': { rfc: 'RFC 9293 §3.10.7.4 first: what is old is trimmed', expect: HELLO },
  'data beyond the window': { rfc: 'RFC 9293 §3.10.7.4 first', expect: OUTSIDE },
  'data at the right edge of the window': {
    rfc: 'RFC 9293 §3.10.7.4 first: nothing of it is taken; its ACK is, see `acceptable`',
    expect: {
      ...UNOPENED,
      ...each(OPENING, 'ACK; ESTABLISHED'),
      ...each(RECEIVING, 'ACK; stays'),
      ...each(FINISHED, 'ACK; stays'),
    },
  },
  'more data than the window, and a FIN': {
    rfc: 'RFC 9293 §3.10.7.4 first: what lies beyond is trimmed, the FIN too',
    expect: {
      ...UNOPENED,
      ...each(OPENING, 'ACK ack r+4096; host gets 4096 bytes; ESTABLISHED'),
      ...each(RECEIVING, 'ACK ack r+4096; host gets 4096 bytes; stays'),
      ...each(FINISHED, 'ACK; stays'),
    },
  },
  'urgent data': { rfc: 'RFC 9293 §3.8.5, §3.10.7.4 sixth; README: passes in order', expect: HELLO },
  'data with an ACK of what was never sent': {
    rfc: 'RFC 9293 §3.10.7.4 fifth, §3.5.2 group 2; RFC 5961 §5.2: the data goes with the ACK',
    expect: {
      ...each(SYNCHRONIZED, 'ACK; dropBadAck; stays'),
      ...each(OPENING, 'RST seq s+1; resetsOut; stays'),
      CLOSED: `RST seq s+1; ${REFUSED}`,
      CONNECTING: 'stays',
      SYN_SENT: 'RST seq s+1; resetsOut; stays',
    },
  },
});
