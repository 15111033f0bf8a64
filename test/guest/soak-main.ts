/** `npm run soak`: a long soak, its figures, and whether it held. */
import { readFlags, readNumber, refuse } from '../flags.ts';
import { missing } from './requirement.ts';
import { soak, SOAK_NEEDS, verdicts } from './soak.ts';

const USAGE = `npm run soak -- [flags]: a gvproxy under mixed traffic for a long time (Linux, root, TAP); ends with 1 when it did not hold

  --minutes N  how long (20)`;

const values = readFlags(USAGE, { minutes: { type: 'string', default: '20' } });
const seconds = readNumber(USAGE, 'minutes', values.minutes) * 60;
const lacking = missing(...SOAK_NEEDS);
if (lacking !== false) refuse(USAGE, `the soak ${lacking}`);
const result = await soak({ seconds, lifetime: 20, log: (line) => console.log(line) });
const { resident, ...figures } = result;
console.log(JSON.stringify({ ...figures, peakMegabytes: Math.round(Math.max(...resident) / 1e6) }, null, 2));
const faults = verdicts(result);
console.log(faults.length === 0 ? 'held' : faults.join('\n'));
process.exit(faults.length === 0 ? 0 : 1);
