/**
 * The gateways that are compared, and how each is started: listening on a unix socket with QEMU's framing, for one guest.
 * None gets an option that makes it faster or slower than it comes, but for the MTU.
 */
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The project's folder: this file runs from build/bench. */
export const ROOT: string = fileURLToPath(new URL('../..', import.meta.url));

export const OURS = 'guestwire';
export const PEERS: readonly string[] = ['gvproxy', 'passt', 'libslirp'];

/** Version of IP that the guest speaks. */
export type Family = 4 | 6;

export interface Addresses {
  /** The guest's, with its prefix length. */
  readonly guest: string;
  readonly router: string;
  /** Leads to the host's loopback. */
  readonly host: string;
}

export interface Gateway {
  readonly name: string;
  /** Program of the gateway, for versions. */
  readonly program: string;
  readonly ipv4: Addresses;
  /** Null where it has no IPv6. */
  readonly ipv6: Addresses | null;
  /** As a shell starts it with gvproxy's flags; empty where it has others. */
  readonly run: string;
  /** Started with `exec` by a shell. */
  command(socket: string, mtu: number, family: Family): string;
}

const GVPROXY_IPV4 = { guest: '192.168.127.2/24', router: '192.168.127.1', host: '192.168.127.254' };
const OUR_SUBNET6 = 'fd67:7562::/64';
const OUR_IPV6 = { guest: 'fd67:7562::2/64', router: 'fd67:7562::1', host: 'fd67:7562::254' };

/** guestwire, then those of `peers` that are found on this machine. Throws RangeError for a name that is not one of PEERS. */
export function findGateways(peers: readonly string[]): Gateway[] {
  const unknown = peers.find((name) => !PEERS.includes(name));
  if (unknown !== undefined) throw new RangeError(`no peer is called ${unknown}: they are ${PEERS.join(', ')}`);
  return [ours(), ...peers.map(findPeer).filter((peer) => peer !== null)];
}

function ours(): Gateway {
  const program = process.env['GUESTWIRE'] ?? join(ROOT, 'bin/gvproxy');
  const run = process.env['GUESTWIRE'] === undefined ? `${quote(process.execPath)} ${quote(program)}` : quote(program);
  const command = (socket: string, mtu: number, family: Family): string =>
    gvproxyCommand(run, socket, mtu) + (family === 6 ? ` -subnet6 ${OUR_SUBNET6}` : '');
  return { name: OURS, program, run, ipv4: GVPROXY_IPV4, ipv6: OUR_IPV6, command };
}

/** Null where it is not installed. */
function findPeer(name: string): Gateway | null {
  if (name === 'gvproxy') return gvproxy();
  if (name === 'passt') return passt();
  return libslirp();
}

function gvproxy(): Gateway | null {
  const program = process.env['GVPROXY'] ?? onPath('gvproxy');
  if (program === null) return null;
  const run = quote(program);
  const command = (socket: string, mtu: number): string => gvproxyCommand(run, socket, mtu);
  return { name: 'gvproxy', program, run, ipv4: GVPROXY_IPV4, ipv6: null, command };
}

function gvproxyCommand(run: string, socket: string, mtu: number): string {
  return `${run} -mtu ${mtu} -ssh-port -1 -listen-qemu unix://${socket}`;
}

function passt(): Gateway | null {
  const program = process.env['PASST'] ?? onPath('passt');
  if (program === null) return null;
  return {
    name: 'passt',
    program,
    run: '',
    ipv4: { guest: '10.9.0.2/24', router: '10.9.0.1', host: '10.9.0.1' },
    // Of a router that is not link-local passt answers datagrams from another address.
    ipv6: { guest: 'fd09::2/64', router: 'fe80::1', host: 'fe80::1%tap0' },
    // It does not run as root, and would change the user by itself only after it has made its socket.
    command: (socket, mtu, family) =>
      `setpriv --reuid=65534 --regid=65534 --clear-groups ${quote(program)} -f -q --socket ${socket} -m ${mtu} ` +
      (family === 6 ? '-a fd09::2 -g fe80::1 -6' : '-a 10.9.0.2 -n 24 -g 10.9.0.1 -4'),
  };
}

/** QEMU without a machine: its user netdev joined by a hub to a socket. It takes no MTU. */
function libslirp(): Gateway | null {
  const program = onPath('qemu-system-x86_64') ?? onPath('qemu-system-aarch64');
  if (program === null) return null;
  return {
    name: 'libslirp',
    program,
    run: '',
    ipv4: { guest: '10.0.2.15/24', router: '10.0.2.2', host: '10.0.2.2' },
    ipv6: { guest: 'fec0::15/64', router: 'fec0::2', host: 'fec0::2' },
    command: (socket) =>
      `${quote(program)} -M none -nographic -monitor none -serial none -netdev user,id=u ` +
      `-netdev stream,id=s,server=on,addr.type=unix,addr.path=${socket} ` +
      '-netdev hubport,id=h1,hubid=0,netdev=u -netdev hubport,id=h2,hubid=0,netdev=s',
  };
}

/** The program's path; null where there is none. */
export function onPath(program: string): string | null {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  return folders.map((folder) => join(folder, program)).find((path) => existsSync(path)) ?? null;
}

function quote(word: string): string {
  return `'${word.replaceAll("'", String.raw`'\''`)}'`;
}
