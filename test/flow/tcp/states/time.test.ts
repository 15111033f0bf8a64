/** Time passing in every state: what is in flight is sent again, who is silent is asked, and in the end given up. */
import { each, explore } from './explore.ts';

const PASSIVE = ['SYN_RECEIVED', 'SIMULTANEOUS'] as const;
const DATA = ['ESTABLISHED', 'CLOSE_WAIT'] as const;
const DATA_AND_FIN = ['FIN_WAIT_1', 'CLOSING', 'LAST_ACK'] as const;
const BEHIND = ['CLOSED_BEHIND', 'TIME_WAIT_BEHIND'] as const;
const TOO_LONG = 'RST ACK seq 0; host reset; resetsOut; timedOut; gone';

function gaveUp(sent: string, times: number, reset: string): string {
  return `${sent} ×${times}; ${reset}; host reset; resetsOut; retransmitted ${times}; timeouts ${times}; timedOut; gone`;
}

explore('time', {
  'retransmission timeout': {
    rfc: 'RFC 6298 §2.1, §5.4, §5.5: 1 s before the first measurement; of an answer at once 200 ms (rtt.ts), then twice as much',
    expect: {
      ...each(PASSIVE, 'SYN ACK; retransmitted; timeouts; stays'),
      ...each(DATA, 'PSH ACK seq s-4 data ×2; retransmitted 2; timeouts 2; stays'),
      ...each(DATA_AND_FIN, 'FIN PSH ACK seq s-5 data ×2; retransmitted 2; timeouts 2; stays'),
      ...each(BEHIND, 'stays'),
      CLOSED: 'stays',
      CONNECTING: 'stays',
      SYN_SENT: 'SYN; retransmitted; timeouts; stays',
      FIN_WAIT_2: 'stays',
      TIME_WAIT: 'stays',
    },
  },
  'two minutes of silence': {
    rfc: 'RFC 9293 §3.8.3 R2 of a SYN, §3.8.4, §3.10.8; docs/limits.md for the host connect',
    expect: {
      ...each(PASSIVE, gaveUp('SYN ACK', 5, 'RST ACK')),
      ...each(DATA, 'PSH ACK seq s-4 data ×9; retransmitted 9; timeouts 9; stays'),
      ...each(DATA_AND_FIN, 'FIN PSH ACK seq s-5 data ×9; retransmitted 9; timeouts 9; stays'),
      ...each(BEHIND, 'host watched; stays'),
      CLOSED: 'stays',
      CONNECTING: TOO_LONG,
      SYN_SENT: gaveUp('SYN', 5, 'RST'),
      FIN_WAIT_2: 'ACK seq s-1; host watched; keepAliveProbes; stays',
      TIME_WAIT: 'gone',
    },
  },
  'twenty minutes of silence': {
    rfc: 'RFC 9293 §3.8.3 R2, §3.8.4; a guest that is done is not asked, whatever the host takes to take the rest',
    expect: {
      ...each(PASSIVE, gaveUp('SYN ACK', 5, 'RST ACK')),
      ...each(DATA, gaveUp('PSH ACK seq s-4 data', 12, 'RST ACK')),
      ...each(DATA_AND_FIN, gaveUp('FIN PSH ACK seq s-5 data', 12, 'RST ACK')),
      ...each(BEHIND, 'host watched; stays'),
      CLOSED: 'stays',
      CONNECTING: TOO_LONG,
      SYN_SENT: gaveUp('SYN', 5, 'RST'),
      FIN_WAIT_2: 'ACK seq s-1 ×6; RST ACK; host watched; host reset; resetsOut; keepAliveProbes 6; timedOut; gone',
      TIME_WAIT: 'gone',
    },
  },
});
