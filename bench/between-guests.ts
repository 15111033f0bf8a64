/**
 * `npm run bench -- --switch`: one TCP stream between two guests on one gateway, guestwire beside gvproxy, in turns.
 *
 *     iperf3 ── namespace ── TAP ── segment-bridge ── /connect ── gateway ── /connect ── segment-bridge ── TAP ── namespace ── iperf3
 *
 * Both gateways are attached through /connect (16 bits of length, little-endian), the only way on which gvproxy takes several VMs.
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Child, execute, killChildren, processorSeconds, succeed, until } from './children.ts';
import { findGateways, type Gateway } from './gateways.ts';
import { evaluate, type Throughput } from './iperf.ts';
import { summarize } from './results.ts';
import { compileTools, missingTool, type Tools } from './tools.ts';

const PATIENCE = 10_000;
const GRACE = 20_000;
const NAMESPACES: readonly string[] = [0, 1].map((index) => `gwswitch-${process.pid}-${index}`);
const MACS: readonly string[] = ['5a:94:ef:e4:0c:ee', '5a:94:ef:e4:0c:ef'];
const ADDRESSES: readonly string[] = ['192.168.127.2', '192.168.127.3'];

async function inNamespace(index: number, ...args: string[]): Promise<string> {
  return succeed('ip', ['-n', NAMESPACES[index]!, ...args]);
}

async function plug(index: number, tools: Tools, socket: string, mtu: number): Promise<Child> {
  const name = NAMESPACES[index]!;
  await succeed('ip', ['netns', 'add', name]);
  const bridge = new Child('ip', ['netns', 'exec', name, tools.segmentBridge, 'tap0', socket]);
  if ((await bridge.printed(0, PATIENCE)) !== 'ready') throw new Error(`no bridge: ${bridge.stderr}`);
  await inNamespace(index, 'link', 'set', 'lo', 'up');
  await inNamespace(index, 'link', 'set', 'tap0', 'address', MACS[index]!, 'mtu', String(mtu), 'up');
  await inNamespace(index, 'addr', 'add', `${ADDRESSES[index]!}/24`, 'dev', 'tap0');
  return bridge;
}

async function stream(gateway: Child, seconds: number): Promise<Throughput> {
  const server = new Child('ip', ['netns', 'exec', NAMESPACES[1]!, 'iperf3', '-s', '-1', '--forceflush']);
  try {
    if (!(await until(() => server.stdout.includes('Server listening'), PATIENCE)))
      throw new Error(`iperf3 does not listen: ${server.stderr}`);
    const before = processorSeconds(gateway.pid);
    const client = ['netns', 'exec', NAMESPACES[0]!, 'iperf3', '-c', ADDRESSES[1]!, '-C', 'cubic', '-Z', '-t', String(seconds), '-J'];
    const { stdout, stderr } = await execute('ip', client, seconds * 1000 + GRACE);
    return evaluate(stdout, stderr, processorSeconds(gateway.pid) - before);
  } finally {
    await server.kill();
  }
}

async function measure({ run }: Gateway, tools: Tools, mtu: number, seconds: number): Promise<Throughput> {
  const folder = mkdtempSync(join(tmpdir(), 'guestwire-switch-'));
  const socket = join(folder, 's');
  const children = [new Child('bash', ['-c', `exec ${run} -mtu ${mtu} -ssh-port -1 -listen unix://${socket}`])];
  try {
    if (!(await until(() => existsSync(socket), PATIENCE))) throw new Error(`it did not start: ${children[0]!.stderr}`);
    for (const index of [0, 1]) children.push(await plug(index, tools, socket, mtu));
    return await stream(children[0]!, seconds);
  } finally {
    await remove(children, folder);
  }
}

async function remove(children: readonly Child[], folder: string): Promise<void> {
  for (const child of children.toReversed()) await child.kill();
  for (const name of NAMESPACES) await execute('ip', ['netns', 'del', name]);
  rmSync(folder, { recursive: true, force: true });
}

interface Flags {
  readonly mtus: readonly number[];
  readonly rounds: number;
  readonly seconds: number;
}

function readFlags(): Flags {
  const { values } = parseArgs({
    options: {
      mtu: { type: 'string', default: '1500,4000,65520' },
      rounds: { type: 'string', default: '5' },
      secs: { type: 'string', default: '3' },
    },
  });
  const flags = { mtus: values.mtu.split(',').map(Number), rounds: Number(values.rounds), seconds: Number(values.secs) };
  if (![...flags.mtus, flags.rounds, flags.seconds].every((value) => Number.isInteger(value) && value > 0))
    throw new RangeError('want whole numbers: --mtu LIST, --rounds N, --secs N');
  return flags;
}

async function main(): Promise<void> {
  const { mtus, rounds, seconds } = readFlags();
  const lacking = missingTool();
  if (lacking !== null) throw new Error(lacking);
  const gateways = findGateways(['gvproxy']);
  const tools = await compileTools();
  console.log('| MTU | gateway | Gbit/s | CPU s per GB | of gvproxy |\n|---|---|---|---|---|');
  for (const mtu of mtus) {
    const results = new Map<Gateway, Throughput[]>(gateways.map((gateway) => [gateway, []]));
    for (let round = 0; round < rounds; round++) {
      for (const gateway of round % 2 === 0 ? gateways : gateways.toReversed()) {
        process.stderr.write(`MTU ${mtu}, round ${round + 1} of ${rounds}: ${gateway.name}\n`);
        results.get(gateway)!.push(await measure(gateway, tools, mtu, seconds));
      }
    }
    const median = (gateway: Gateway, of: (result: Throughput) => number, larger: boolean): number =>
      summarize(results.get(gateway)!.map(of), larger).median;
    const rate = (gateway: Gateway): number => median(gateway, (result) => result.rate, true);
    const peer = gateways.find(({ name }) => name === 'gvproxy');
    for (const gateway of gateways) {
      const processor = median(gateway, (result) => result.processor, false);
      const ratio = peer === undefined ? '' : (rate(gateway) / rate(peer)).toFixed(2);
      console.log(`| ${mtu} | ${gateway.name} | ${rate(gateway).toFixed(2)} | ${processor.toFixed(2)} | ${ratio} |`);
    }
  }
}

process.once('SIGINT', () => {
  killChildren();
  process.exitCode = 1;
});

try {
  await main();
} catch (error) {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
