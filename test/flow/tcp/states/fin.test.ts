/** The guest's FIN in every state. */
import { CHECKED, each, explore, FINISHED } from './explore.ts';

const OPENING = ['SYN_RECEIVED', 'SIMULTANEOUS'] as const;
const REFUSED = 'resetsOut; dropNoFlow; stays';
const UNOPENED = { CLOSED: `RST; ${REFUSED}`, CONNECTING: 'stays', SYN_SENT: 'stays' };
const OUTSIDE = { ...UNOPENED, ...each(CHECKED, 'ACK; dropUnacceptable; stays') };

explore('fin', {
  'FIN alone': {
    rfc: 'RFC 9293 §3.10.7.4 eighth',
    expect: {
      ...UNOPENED,
      ...each(OPENING, 'ACK ack r+1; host shut; CLOSE_WAIT'),
      ...each(FINISHED, 'ACK; stays'),
      ESTABLISHED: 'ACK ack r+1; host shut; CLOSE_WAIT',
      FIN_WAIT_1: 'ACK ack r+1; host shut; CLOSING',
      FIN_WAIT_2: 'ACK ack r+1; host shut; host closed; TIME_WAIT',
    },
  },
  'FIN that acknowledges everything': {
    rfc: 'RFC 9293 §3.10.7.4 fifth and eighth',
    expect: {
      ...UNOPENED,
      ...each(OPENING, 'ACK ack r+1; host shut; CLOSE_WAIT'),
      ...each(FINISHED, 'ACK; stays'),
      ESTABLISHED: 'ACK ack r+1; host rid of 4; host shut; CLOSE_WAIT',
      FIN_WAIT_1: 'ACK ack r+1; host rid of 4; host shut; host closed; TIME_WAIT',
      FIN_WAIT_2: 'ACK ack r+1; host shut; host closed; TIME_WAIT',
      CLOSE_WAIT: 'ACK; host rid of 4; stays',
      CLOSING: 'ACK; host rid of 4; host closed; TIME_WAIT',
      LAST_ACK: 'host rid of 4; host closed; gone',
    },
  },
  'FIN with data': {
    rfc: 'RFC 9293 §3.10.7.4 seventh and eighth',
    expect: {
      ...UNOPENED,
      ...each(OPENING, 'ACK ack r+6; host gets hello; host shut; CLOSE_WAIT'),
      ...each(FINISHED, 'ACK; stays'),
      ESTABLISHED: 'ACK ack r+6; host gets hello; host shut; CLOSE_WAIT',
      FIN_WAIT_1: 'ACK ack r+6; host gets hello; host shut; CLOSING',
      FIN_WAIT_2: 'ACK ack r+6; host gets hello; host shut; host closed; TIME_WAIT',
    },
  },
  'FIN out of order': {
    rfc: 'RFC 9293 §3.10.7.4 eighth: it counts when everything in front of it has come',
    expect: {
      ...UNOPENED,
      ...each(OPENING, 'ACK; ESTABLISHED'),
      ...each(['ESTABLISHED', 'FIN_WAIT_1', 'FIN_WAIT_2'], 'ACK; stays'),
      ...each(FINISHED, 'ACK; stays'),
    },
  },
  'FIN out of order, then what was missing': {
    rfc: 'RFC 9293 §3.10.7.4 seventh and eighth',
    expect: {
      ...UNOPENED,
      ...each(OPENING, 'ACK; ACK ack r+6; host gets hello; host shut; CLOSE_WAIT'),
      ...each(FINISHED, 'ACK ×2; stays'),
      CLOSED: 'RST ×2; resetsOut 2; dropNoFlow 2; stays',
      ESTABLISHED: 'ACK; ACK ack r+6; host gets hello; host shut; CLOSE_WAIT',
      FIN_WAIT_1: 'ACK; ACK ack r+6; host gets hello; host shut; CLOSING',
      FIN_WAIT_2: 'ACK; ACK ack r+6; host gets hello; host shut; host closed; TIME_WAIT',
    },
  },
  'FIN again': { rfc: 'RFC 9293 §3.10.7.4 first: our ACK was lost', expect: OUTSIDE },
  'FIN beyond the window': { rfc: 'RFC 9293 §3.10.7.4 first', expect: OUTSIDE },
  'FIN without ACK': {
    rfc: 'RFC 9293 §3.10.7.1, §3.10.7.4 fifth: dropped',
    expect: {
      ...each(CHECKED, 'dropNoAck; stays'),
      CLOSED: `RST ACK seq 0 ack r+1; ${REFUSED}`,
      CONNECTING: 'stays',
      SYN_SENT: 'stays',
    },
  },
});
