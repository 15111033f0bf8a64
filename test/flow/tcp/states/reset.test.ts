/**
 * The guest's RST in every state. Where the guest is done already, what it was told is taken still goes to the host: its reset
 * says that it has forgotten the connection, not that the data is void.
 */
import { CHECKED, each, explore } from './explore.ts';

const UNSENT = { CLOSED: 'dropNoFlow; stays', CONNECTING: 'stays', SYN_SENT: 'stays' };

const EXACT = {
  ...each(CHECKED, 'host reset; resetsIn; gone'),
  CLOSED: 'dropNoFlow; stays',
  CONNECTING: 'host reset; resetsIn; gone',
  SYN_SENT: 'host reset; resetsIn; gone',
  TIME_WAIT: 'resetsIn; gone',
  CLOSED_BEHIND: 'resetsIn; stays',
  TIME_WAIT_BEHIND: 'resetsIn; CLOSED_BEHIND',
};

explore('reset', {
  'RST at RCV.NXT': {
    rfc: 'RFC 9293 §3.10.7.4 second; RFC 5961 §3.2; in SYN-SENT only an ACK makes it good',
    expect: { ...EXACT, SYN_SENT: 'stays' },
  },
  'RST ACK at RCV.NXT': { rfc: 'RFC 9293 §3.10.7.3 second, §3.10.7.4 second', expect: EXACT },
  'RST ACK of what was never sent': {
    rfc: 'RFC 9293 §3.10.7.3 first; §3.10.7.4 looks at RST before ACK',
    expect: { ...EXACT, SYN_SENT: 'stays' },
  },
  'RST elsewhere in the window': {
    rfc: 'RFC 5961 §3.2',
    expect: { ...UNSENT, ...each(CHECKED, 'ACK; challengeAcks; stays') },
  },
  'RST beyond the window': {
    rfc: 'RFC 5961 §3.2: dropped without a word',
    expect: { ...UNSENT, ...each(CHECKED, 'dropUnacceptable; stays') },
  },
  'RST before the window': {
    rfc: 'RFC 5961 §3.2: dropped without a word',
    expect: { ...UNSENT, ...each(CHECKED, 'dropUnacceptable; stays') },
  },
  'RST with data': { rfc: 'RFC 9293 §3.5.3: may carry text that explains it', expect: { ...EXACT, SYN_SENT: 'stays' } },
});
