/**
 * A soak: a gvproxy that serves mixed traffic for a long time, and must afterwards be as it was at the start.
 *
 *     steady guest ── bulk, round trips, UDP, DNS, resets, slow readers, idle connections ─┐
 *     restarting guest ── the same; its VM is killed every few seconds ────────────────────┼─ gvproxy ─ servers on the loopback
 *     keeper ── attached, silent: gvproxy would end with the last VM ──────────────────────┘
 *
 * Half of it all is IPv6. What is looked at: every transfer of the steady guest ends with the right hash; the memory of the last quarter is that of the
 * second; no socket is left once the traffic has ended, and no descriptor once the guests have gone.
 */
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Gvproxy } from './gvproxy.ts';
import { Namespace } from './namespace.ts';
import { delay, execute, type Running, until } from './process.ts';
import { SoakHosts } from './soak-hosts.ts';

/** Of the machine: see requirement.ts. */
export const SOAK_NEEDS: readonly string[] = ['root', 'tun', 'ip', 'dhclient'];

const PREFIX = 'fd01:2:3:4';
/** The host's loopback, as guests know it. */
const PLACES = [
  { version: 4, host: '192.168.127.254', gateway: '192.168.127.1', loopback: '127.0.0.1' },
  { version: 6, host: `${PREFIX}::254`, gateway: `${PREFIX}::1`, loopback: '::1' },
] as const;
const STEADY_MAC = '5a:94:ef:e4:0c:ee';
const TRAFFIC = fileURLToPath(new URL('soak-guest.js', import.meta.url));
/** Milliseconds for a guest to end what it has begun, and for the sockets behind it. */
const WIND_DOWN = 40_000;
/** Milliseconds without a byte after which a connection through the forward is stuck. */
const SILENCE = 30_000;
/** Of each version of IP the next stream's, opened beforehand. */
const SPARE_SOCKETS = 2;
/** Resident memory of the last quarter to that of the second. */
const GROWTH = 1.15;

export interface SoakCounts {
  bytesUp: number;
  bytesDown: number;
  roundTrips: number;
  connections: number;
  overIpv6: number;
  datagrams: number;
  datagramsLost: number;
  queries: number;
  aborted: number;
  slow: number;
  idleRoundTrips: number;
  readonly failures: string[];
}

export interface SoakResult {
  readonly counts: SoakCounts;
  /** Connections through the forward to the steady guest that echoed. */
  readonly forwarded: number;
  readonly restarts: number;
  /** Resident bytes of gvproxy, a sample a second. */
  readonly resident: readonly number[];
  /** TCP sockets of gvproxy, most at a time and when the traffic had ended. */
  readonly mostSockets: number;
  readonly socketsLeft: number;
  /** Descriptors before the guests came and after they had gone. */
  readonly descriptorsBefore: number;
  readonly descriptorsAfter: number;
  readonly cpuSeconds: number;
}

export interface SoakOptions {
  readonly seconds: number;
  /** Seconds that the second guest lives. */
  readonly lifetime: number;
  readonly log: (line: string) => void;
}

export async function soak(options: SoakOptions): Promise<SoakResult> {
  const hosts = await SoakHosts.start(PLACES);
  const gvproxy = await Gvproxy.start({ flags: ['-subnet6', `${PREFIX}::/64`] });
  const watch = new ProcessWatch(programOf(gvproxy.process));
  const keeper = await attachKeeper(gvproxy.socket);
  await delay(200);
  const descriptorsBefore = watch.descriptors();
  const steady = await Namespace.create(gvproxy.socket, STEADY_MAC);
  await configure(steady);
  const traffic = await startTraffic(steady, hosts);
  const end = performance.now() + options.seconds * 1000;
  const isOver = (): boolean => performance.now() >= end;
  const [restarts, forwarded] = await Promise.all([
    restartGuests(gvproxy.socket, hosts, options.lifetime, isOver),
    useForward(gvproxy.sshPort, isOver),
    sample(watch, traffic, options, isOver),
  ]);
  const counts = await endTraffic(traffic);
  const { resident, mostSockets } = watch;
  let socketsLeft = watch.sockets();
  for (let i = 0; i < WIND_DOWN / 200 && socketsLeft > 0; i++) {
    await delay(200);
    socketsLeft = watch.sockets();
  }
  await steady.remove();
  await delay(500);
  const descriptorsAfter = watch.descriptors();
  const cpuSeconds = watch.cpuSeconds();
  keeper.destroy();
  hosts.close();
  const status = await gvproxy.process.ended;
  if (status !== 0) throw new Error(`gvproxy ended with ${status}:\n${gvproxy.process.output}`);
  return { counts, forwarded, restarts, resident, mostSockets, socketsLeft, descriptorsBefore, descriptorsAfter, cpuSeconds };
}

/** What /proc says of one process. */
class ProcessWatch {
  readonly resident: number[] = [];
  mostSockets = 0;
  readonly #pid: number;

  constructor(pid: number) {
    this.#pid = pid;
  }

  sample(): void {
    const [, kilobytes] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${this.#pid}/status`, 'utf8'))!;
    this.resident.push(Number(kilobytes) * 1024);
    this.mostSockets = Math.max(this.mostSockets, this.sockets());
  }

  descriptors(): number {
    return readdirSync(`/proc/${this.#pid}/fd`).length;
  }

  /** TCP sockets that are not listening. */
  sockets(): number {
    const own = new Set<string>();
    for (const fd of readdirSync(`/proc/${this.#pid}/fd`)) {
      try {
        const [, inode] = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${this.#pid}/fd/${fd}`)) ?? [];
        if (inode !== undefined) own.add(inode);
      } catch {
        // Closed meanwhile.
      }
    }
    const tables = ['tcp', 'tcp6'].map((name) => readFileSync(`/proc/net/${name}`, 'utf8'));
    const lines = tables.flatMap((table) => table.trim().split('\n').slice(1));
    return lines.filter((line) => {
      const fields = line.trim().split(/\s+/);
      return fields[3] !== '0A' && own.has(fields[9]!);
    }).length;
  }

  cpuSeconds(): number {
    const fields = readFileSync(`/proc/${this.#pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
    return (Number(fields[11]) + Number(fields[12])) / 100;
  }
}

/** `ip netns exec` and `nice` replace themselves: the child is the program. */
function programOf({ child }: Running): number {
  return child.pid!;
}

/** A VM that never says anything. */
async function attachKeeper(path: string): Promise<Socket> {
  const socket = connect(path);
  await once(socket, 'connect');
  socket.resume();
  return socket;
}

/** By DHCP, and by what the router says, as a guest does. */
async function configure(namespace: Namespace): Promise<void> {
  const lease = join('/tmp', `${namespace.name}.lease`);
  const files = ['-lf', lease, '-pf', `${lease}.pid`];
  await namespace.succeed('timeout', '20', 'dhclient', '-1', '-sf', '/bin/true', ...files, 'tap0');
  await execute('pkill', ['-F', `${lease}.pid`]);
  const [, address] = /fixed-address ([\d.]+);/.exec(readFileSync(lease, 'utf8'))!;
  await execute('rm', ['-f', lease, `${lease}.pid`]);
  await namespace.configure(address);
  for (let tries = 0; tries < 100; tries++) {
    const addresses = await namespace.succeed('ip', '-6', 'addr', 'show', 'dev', 'tap0', 'scope', 'global', '-tentative');
    if (addresses.includes(`inet6 ${PREFIX}:`)) return;
    await delay(100);
  }
  throw new Error('the guest has no address of IPv6');
}

async function startTraffic(namespace: Namespace, hosts: SoakHosts): Promise<Running> {
  const traffic = namespace.start(process.execPath, TRAFFIC, JSON.stringify(hosts.places));
  await until(() => traffic.output.includes('ready') || traffic.child.exitCode !== null, 'the guest to begin');
  return traffic;
}

async function endTraffic(traffic: Running): Promise<SoakCounts> {
  traffic.child.stdin!.end();
  await until(() => traffic.child.exitCode !== null, `the guest to end:\n${traffic.output}`, WIND_DOWN);
  const last = traffic.output.trim().split('\n').at(-1)!;
  if (!last.startsWith('{')) throw new Error(`the guest failed:\n${traffic.output}`);
  return JSON.parse(last) as SoakCounts;
}

/** Guests that come, do everything at once, and are killed in the middle of it; each second one is another machine. */
async function restartGuests(socket: string, hosts: SoakHosts, lifetime: number, isOver: () => boolean): Promise<number> {
  let restarts = 0;
  while (!isOver()) {
    const mac = `5a:94:ef:e4:0d:${(restarts >> 1).toString(16).padStart(2, '0').slice(-2)}`;
    const guest = await Namespace.create(socket, mac);
    await configure(guest);
    const traffic = await startTraffic(guest, hosts);
    for (let i = 0; i < lifetime * 10 && !isOver(); i++) await delay(100);
    // The VM first: its connections are cut without a word.
    await guest.remove();
    await traffic.kill();
    restarts++;
  }
  return restarts;
}

/** Connections of the host to the steady guest. */
async function useForward(port: number, isOver: () => boolean): Promise<number> {
  let done = 0;
  while (!isOver()) {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    socket.setTimeout(SILENCE, () => socket.destroy(new Error('the forward is silent')));
    socket.end('through the forward');
    let answer = '';
    for await (const chunk of socket) answer += (chunk as Buffer).toString();
    if (answer !== 'through the forward') throw new Error(`the forward answers ${JSON.stringify(answer)}`);
    done++;
    await delay(100);
  }
  return done;
}

async function sample(watch: ProcessWatch, traffic: Running, options: SoakOptions, isOver: () => boolean): Promise<void> {
  for (let i = 0; !isOver(); i++) {
    if (traffic.child.exitCode !== null) throw new Error(`the guest has ended:\n${traffic.output}`);
    watch.sample();
    if (i % 30 === 0) {
      const megabytes = Math.round(watch.resident.at(-1)! / 1e6);
      options.log(`${i} s: ${megabytes} MB resident, ${watch.sockets()} TCP sockets, ${watch.descriptors()} descriptors`);
    }
    await delay(1000);
  }
}

/** What did not hold. */
export function verdicts(result: SoakResult): string[] {
  const { counts, resident, forwarded, restarts } = result;
  const faults = [...counts.failures];
  const expect = (holds: boolean, fault: string): void => void (holds || faults.push(fault));
  const { failures: _failures, datagramsLost, ...done } = counts;
  for (const [what, count] of Object.entries({ ...done, forwarded })) expect(count > 0, `none: ${what}`);
  expect(restarts >= 2, `${restarts} restarts`);
  // The wire is memory, but the queue of the guest's device is short.
  expect(datagramsLost <= counts.datagrams / 50, `${datagramsLost} of ${counts.datagrams} datagrams lost`);
  expect(result.socketsLeft === 0, `${result.socketsLeft} TCP sockets left when the traffic had ended`);
  const leaked = result.descriptorsAfter - result.descriptorsBefore - SPARE_SOCKETS;
  expect(leaked === 0, `${leaked} descriptors left when the guests had gone`);
  const [early, late] = quarters(resident);
  expect(late < early * GROWTH, `${early} bytes resident in the second quarter, ${late} in the last`);
  return faults;
}

/** Median of the second and of the last quarter. */
function quarters(samples: readonly number[]): [number, number] {
  const quarter = Math.floor(samples.length / 4);
  const median = (part: readonly number[]): number => part.toSorted((a, b) => a - b)[part.length >> 1]!;
  return [median(samples.slice(quarter, 2 * quarter)), median(samples.slice(-quarter))];
}
