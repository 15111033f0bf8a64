/**
 * How fast User Mode Linux is behind several gateways, by turns: `node build/test/guest/uml-rate-main.js GVPROXY…` (root).
 * `--rounds N` (5), `--seconds N` for each way (5), `--mtu N` (1500). Prints the medians of what iperf3 received, in Mbit/s.
 */
import { parseArgs } from 'node:util';
import { documented, documentedAddress } from './documented.ts';
import { freePort, Gvproxy } from './gvproxy.ts';
import { enterOwnNetwork } from './own-network.ts';
import { Running, until } from './process.ts';
import { UmlGuest } from './uml.ts';

const WAYS = ['', '-R'];

const { values, positionals: programs } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '5' },
    mtu: { type: 'string', default: '1500' },
  },
});

/** Mbit/s up and down. */
async function measure(program: string): Promise<number[]> {
  const gvproxy = await Gvproxy.start({ program, kind: 'bess', flags: ['-mtu', values.mtu] });
  const guest = await UmlGuest.boot(documented('User Mode Linux', { '/run/vm.sock': gvproxy.socket }).guest[0]!);
  await guest.run(`ip link set vec0 mtu ${values.mtu}`);
  for (const line of documentedAddress()) await guest.run(line);
  const port = freePort();
  const server = new Running('iperf3', ['-s', '-B', '127.0.0.1', '-p', String(port), '--forceflush']);
  await until(() => server.output.includes('Server listening'), 'iperf3');
  const rates: number[] = [];
  for (const way of WAYS) {
    const output = await guest.run(`iperf3 -c 192.168.127.254 -p ${port} -t ${values.seconds} -J ${way}`);
    rates.push((JSON.parse(output) as { end: { sum_received: { bits_per_second: number } } }).end.sum_received.bits_per_second / 1e6);
  }
  await server.kill();
  await guest.powerOff();
  await gvproxy.process.kill();
  return rates;
}

function median(numbers: readonly number[]): string {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1]!.toFixed(0);
}

await enterOwnNetwork();
const measured = new Map<string, number[][]>(programs.map((program) => [program, []]));
for (let round = 0; round < Number(values.rounds); round++) {
  for (const [program, rounds] of measured) rounds.push(await measure(program));
}
for (const [program, rounds] of measured) {
  const [up, down] = WAYS.map((_way, index) => median(rounds.map((rates) => rates[index]!)));
  console.log(`${program}: up ${up}, down ${down} Mbit/s at MTU ${values.mtu}`);
}
// This is no test: the runner that process.ts brings has nothing to report.
process.exit(0);
