/** One run of iperf3 between the guest and the host's loopback. */
import { readFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { Child, processorSeconds, until } from './children.ts';
import type { Guest } from './guest.ts';

/** Seconds beyond the measured ones until a run counts as failed. */
const GRACE = 20;

export interface Throughput {
  /** Gbit/s that arrived. */
  readonly rate: number;
  /** The gateway's processor seconds per 10^9 bytes that arrived. */
  readonly processor: number;
  /** What the slowest stream got of its fair share, 0 to 1. */
  readonly fairness: number;
}

interface Sums {
  readonly bits_per_second: number;
  readonly bytes: number;
  readonly lost_percent?: number;
}

interface Report {
  readonly error?: string;
  readonly end: { sum_received?: Sums; sum?: Sums; streams?: { receiver?: Sums }[] };
}

/** Rejects when it fails. */
export async function iperf(guest: Guest, seconds: number, flags: readonly string[]): Promise<Throughput> {
  const port = await freePort();
  const server = new Child('iperf3', ['-s', '-1', '-p', String(port)]);
  try {
    if (!(await until(() => listens(port), 5000))) throw new Error(`iperf3 does not listen: ${server.stderr}`);
    const before = processorSeconds(guest.process.pid);
    const args = ['-c', guest.host, '-p', String(port), '-t', String(seconds), '-J', ...flags];
    const { stdout, stderr } = await guest.run('iperf3', args, (seconds + GRACE) * 1000);
    return evaluate(stdout, stderr, processorSeconds(guest.process.pid) - before);
  } finally {
    await server.kill();
  }
}

/** What iperf3 said with `-J`; `processor`: seconds that were used meanwhile. Throws when it failed. */
export function evaluate(stdout: string, stderr: string, processor: number): Throughput {
  const report = parse(stdout);
  const total = report?.end.sum_received ?? report?.end.sum;
  if (report === undefined || total === undefined) throw new Error(`iperf3: ${report?.error ?? (stderr || 'no result')}`);
  const received = arrived(report, total);
  const streams = (report.end.streams ?? []).map((stream) => stream.receiver?.bits_per_second ?? 0);
  const fairness = streams.length === 0 ? 1 : Math.min(...streams) / (total.bits_per_second / streams.length);
  return { rate: received.bits_per_second / 1e9, processor: processor / (received.bytes / 1e9), fairness };
}

/** Of datagrams, iperf3 before 3.14 sums up what was sent, and says how much of it was lost. */
function arrived(report: Report, total: Sums): { bits_per_second: number; bytes: number } {
  const lost = report.end.sum?.lost_percent;
  if (lost === undefined || report.end.sum === undefined) return total;
  const part = 1 - lost / 100;
  return { bits_per_second: report.end.sum.bits_per_second * part, bytes: report.end.sum.bytes * part };
}

function parse(text: string): Report | undefined {
  try {
    return JSON.parse(text) as Report;
  } catch {
    return undefined;
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** Whether some socket of this machine listens on the port. Asked of the kernel: a server with one client must not be dialled. */
function listens(port: number): boolean {
  const local = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return ['/proc/net/tcp', '/proc/net/tcp6'].some((table) =>
    readFileSync(table, 'utf8')
      .split('\n')
      .some((line) => {
        const [, address, , state] = line.trim().split(/\s+/);
        return state === '0A' && address?.endsWith(local) === true;
      }),
  );
}
