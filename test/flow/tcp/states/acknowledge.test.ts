/** Acknowledgments and the guest's window in every state. */
import { ACKNOWLEDGED, CHECKED, each, explore, never, SYNCHRONIZED } from './explore.ts';

const OPENING = ['SYN_RECEIVED', 'SIMULTANEOUS'] as const;
const SENDING = ['ESTABLISHED', 'CLOSE_WAIT'] as const;
const ENDED = ['FIN_WAIT_1', 'FIN_WAIT_2', 'CLOSING', 'LAST_ACK', 'TIME_WAIT', 'CLOSED_BEHIND', 'TIME_WAIT_BEHIND'] as const;
const IN_FLIGHT = ['ESTABLISHED', 'FIN_WAIT_1', 'CLOSE_WAIT', 'CLOSING', 'LAST_ACK'] as const;
const UNOPENED = ['CLOSED', 'CONNECTING', 'SYN_SENT'] as const;
const REFUSED = 'resetsOut; dropNoFlow; stays';

const EVERYTHING = {
  ...each(ACKNOWLEDGED, 'stays'),
  ...each(OPENING, 'ESTABLISHED'),
  CLOSED: `RST; ${REFUSED}`,
  CONNECTING: 'stays',
  SYN_SENT: 'stays',
  ESTABLISHED: 'host rid of 4; stays',
  FIN_WAIT_1: 'host rid of 4; FIN_WAIT_2',
  CLOSE_WAIT: 'host rid of 4; stays',
  CLOSING: 'host rid of 4; host closed; TIME_WAIT',
  LAST_ACK: 'host rid of 4; host closed; gone',
};

const KEEP_ALIVE = {
  ...each(CHECKED, 'ACK; dropUnacceptable; stays'),
  CLOSED: `RST; ${REFUSED}`,
  CONNECTING: 'stays',
  SYN_SENT: 'stays',
};

explore('acknowledge', {
  'ACK of everything': { rfc: 'RFC 9293 §3.10.7.4 fifth', expect: EVERYTHING },
  'ACK of a part': {
    rfc: 'RFC 9293 §3.10.7.4 fifth',
    expect: {
      ...each(IN_FLIGHT, 'host rid of 2; stays'),
      ...each(ACKNOWLEDGED, never('nothing is in flight')),
      ...each(UNOPENED, never('nothing is in flight, or our SYN alone')),
      ...each(OPENING, never('our SYN alone is in flight')),
    },
  },
  'ACK that repeats the last': {
    rfc: 'RFC 9293 §3.10.7.4 fifth; §3.5.2 group 2 for SYN-SENT and SYN-RECEIVED; RFC 5681 §2',
    expect: {
      ...each(SYNCHRONIZED, 'stays'),
      ...each(OPENING, 'RST seq s-1; resetsOut; stays'),
      CLOSED: `RST; ${REFUSED}`,
      CONNECTING: 'stays',
      SYN_SENT: 'RST seq s-1; resetsOut; stays',
    },
  },
  'old ACK': {
    rfc: 'RFC 9293 §3.10.7.4 fifth; RFC 5961 §5.2',
    expect: {
      ...each(SYNCHRONIZED, 'stays'),
      ...each(OPENING, 'RST seq s-2; resetsOut; stays'),
      CLOSED: `RST seq s-1; ${REFUSED}`,
      CONNECTING: 'stays',
      SYN_SENT: 'RST seq s-2; resetsOut; stays',
    },
  },
  'ACK too old to be of this connection': {
    rfc: 'RFC 5961 §5.2: below SND.UNA - MAX.SND.WND',
    expect: {
      ...each(SYNCHRONIZED, 'ACK; dropBadAck; stays'),
      ...each(OPENING, 'RST seq s-65537; resetsOut; stays'),
      CLOSED: `RST seq s-65536; ${REFUSED}`,
      CONNECTING: 'stays',
      SYN_SENT: 'RST seq s-65537; resetsOut; stays',
    },
  },
  'ACK of what was never sent': {
    rfc: 'RFC 9293 §3.10.7.4 fifth; §3.5.2 group 2',
    expect: {
      ...each(SYNCHRONIZED, 'ACK; dropBadAck; stays'),
      ...each(OPENING, 'RST seq s+1; resetsOut; stays'),
      CLOSED: `RST seq s+1; ${REFUSED}`,
      CONNECTING: 'stays',
      SYN_SENT: 'RST seq s+1; resetsOut; stays',
    },
  },
  'segment without ACK': {
    rfc: 'RFC 9293 §3.10.7.1, §3.10.7.4 fifth: dropped',
    expect: {
      ...each(CHECKED, 'dropNoAck; stays'),
      CLOSED: `RST ACK seq 0 ack r+5; ${REFUSED}`,
      CONNECTING: 'stays',
      SYN_SENT: 'stays',
    },
  },
  'keep-alive without a byte': { rfc: 'RFC 9293 §3.8.4, §3.10.7.4 first', expect: KEEP_ALIVE },
  'keep-alive with a byte': { rfc: 'RFC 9293 §3.8.4, §3.10.7.4 first', expect: KEEP_ALIVE },
  'window closed with everything acknowledged': { rfc: 'RFC 9293 §3.10.7.4 fifth', expect: EVERYTHING },
  'host sends into a closed window, and time': {
    rfc: 'RFC 9293 §3.8.6.1: the first probe after an RTO, then less and less often',
    expect: {
      ...each(UNOPENED, never('no window was offered')),
      ...each(OPENING, 'ACK seq s-1 ×2; zeroWindowProbes 2; ESTABLISHED'),
      ...each(SENDING, 'ACK seq s-1 ×2; host rid of 4; zeroWindowProbes 2; stays'),
      ...each(ENDED, never('the host has ended')),
    },
  },
  'window reopens': {
    rfc: 'RFC 9293 §3.10.7.4 fifth: SND.WL1, SND.WL2',
    expect: {
      ...each(UNOPENED, never('no window was offered')),
      ...each(OPENING, 'PSH ACK more; ESTABLISHED'),
      ...each(SENDING, 'PSH ACK more; host rid of 4; stays'),
      ...each(ENDED, never('the host has ended')),
    },
  },
});
