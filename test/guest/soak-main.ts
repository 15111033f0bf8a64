/** `npm run soak`: a long soak, its figures, and whether it held. */
import { parseArgs } from 'node:util';
import { soak, verdicts } from './soak.ts';

const { values } = parseArgs({ options: { minutes: { type: 'string', default: '20' } } });
const result = await soak({ seconds: Number(values.minutes) * 60, lifetime: 20, log: (line) => console.log(line) });
const { resident, ...figures } = result;
console.log(JSON.stringify({ ...figures, peakMegabytes: Math.round(Math.max(...resident) / 1e6) }, null, 2));
const faults = verdicts(result);
console.log(faults.length === 0 ? 'held' : faults.join('\n'));
process.exit(faults.length === 0 ? 0 : 1);
