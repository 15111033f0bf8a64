/** What guestwire needs of a host, and gains from it: each looked at, with what to do about it. Pure: the host is handed in. */

export type Verdict = 'ok' | 'warn' | 'fail';

export interface Finding {
  readonly what: string;
  readonly verdict: Verdict;
  readonly found: string;
  /** What to do about it; none when it is well. */
  readonly advice?: string;
}

export interface Host {
  /** `v20.20.0`, `linux`, `x64`, and the kernel's release. */
  readonly node: string;
  readonly platform: string;
  readonly processor: string;
  readonly kernel: string;
  readonly uid: number;
  /** Why system calls can't be made; undefined when they can. */
  readonly noCalls: string | undefined;
  /** The text of a file; undefined when it can't be read. */
  read(path: string): string | undefined;
  /** Whether this user may open it for reading and writing. */
  opens(path: string): boolean;
  exists(path: string): boolean;
  /** Whether the kernel gives such a socket, and takes such an option. */
  tries(what: 'ping' | 'raw ping' | 'vsock' | 'peek offset' | 'peek offset of IPv6'): boolean;
  /** What `qemu-system-… --version` says; undefined without a QEMU. */
  readonly qemu: readonly [number, number] | undefined;
}

const NODE_MINIMUM = [20, 19] as const;
/** Below, many conversations at once don't fit: they get 65 % of the descriptors. */
const DESCRIPTORS = 4096;
/** Bytes that links ask for. */
const LINK_BUFFER = 4 << 20;
const HTTP_PORT = 80;

const CHECKS: readonly ((host: Host) => Finding)[] = [
  node,
  calls,
  peekOffset,
  descriptors,
  buffers,
  ping,
  privilegedPorts,
  resolvers,
  tun,
  vsock,
  qemu,
];

export function examine(host: Host): readonly Finding[] {
  return CHECKS.map((check) => check(host));
}

function node(host: Host): Finding {
  const [major = 0, minor = 0] = host.node.replace(/^v/, '').split('.').map(Number);
  const isEnough = major > NODE_MINIMUM[0] || (major === NODE_MINIMUM[0] && minor >= NODE_MINIMUM[1]);
  const finding = { what: 'Node', found: host.node };
  return isEnough
    ? { ...finding, verdict: 'ok' }
    : { ...finding, verdict: 'fail', advice: `install Node ${NODE_MINIMUM.join('.')} or newer` };
}

function calls({ noCalls, platform, processor }: Host): Finding {
  const finding = { what: 'system calls', found: noCalls ?? `koffi on ${platform} ${processor}` };
  return noCalls === undefined
    ? { ...finding, verdict: 'ok' }
    : { ...finding, verdict: 'fail', advice: 'use Linux on x64 or arm64, and install again with npm ci: koffi brings what it needs' };
}

function peekOffset(host: Host): Finding {
  const finding = { what: 'kernel', found: host.kernel };
  if (!host.tries('peek offset'))
    return { ...finding, verdict: 'warn', advice: 'TCP to guests costs more before Linux 6.9 (SO_PEEK_OFF); nothing else is missing' };
  if (!host.tries('peek offset of IPv6'))
    return {
      ...finding,
      verdict: 'warn',
      advice: 'TCP over IPv6 to guests costs more on this kernel (SO_PEEK_OFF); nothing else is missing',
    };
  return { ...finding, verdict: 'ok' };
}

function descriptors(host: Host): Finding {
  const [, text] = /^Max open files\s+(\d+|unlimited)/m.exec(host.read('/proc/self/limits') ?? '') ?? [];
  const count = text === 'unlimited' ? Infinity : Number(text ?? 1024);
  const finding = { what: 'descriptors', found: text ?? 'unknown' };
  if (count >= DESCRIPTORS) return { ...finding, verdict: 'ok' };
  return {
    ...finding,
    verdict: 'warn',
    advice: 'every conversation takes one: raise the hard limit (ulimit -Hn 65536, LimitNOFILE=65536 of a service)',
  };
}

function buffers(host: Host): Finding {
  const names = ['rmem_max', 'wmem_max'];
  const sizes = names.map((name) => Number(host.read(`/proc/sys/net/core/${name}`) ?? 0));
  const finding = { what: 'socket buffers', found: names.map((name, i) => `${name} ${sizes[i]}`).join(', ') };
  if (sizes.every((size) => size >= LINK_BUFFER)) return { ...finding, verdict: 'ok' };
  return {
    ...finding,
    verdict: 'warn',
    advice: `links are faster with more: sysctl net.core.rmem_max=${LINK_BUFFER} net.core.wmem_max=${LINK_BUFFER}`,
  };
}

function ping(host: Host): Finding {
  const finding = {
    what: 'ping',
    found: `ping_group_range ${(host.read('/proc/sys/net/ipv4/ping_group_range') ?? 'unknown').trim().replace(/\s+/, ' ')}`,
  };
  if (host.tries('ping')) return { ...finding, verdict: 'ok' };
  if (host.tries('raw ping')) return { ...finding, found: 'raw sockets', verdict: 'ok' };
  return { ...finding, verdict: 'warn', advice: `guests can't ping the outside: sysctl net.ipv4.ping_group_range="0 2147483647"` };
}

function privilegedPorts(host: Host): Finding {
  const first = host.uid === 0 ? 0 : Number(host.read('/proc/sys/net/ipv4/ip_unprivileged_port_start') ?? 1024);
  const finding = { what: 'ports', found: first === 0 ? 'all' : `from ${first} on` };
  if (first <= HTTP_PORT) return { ...finding, verdict: 'ok' };
  return { ...finding, verdict: 'warn', advice: `forwards of lower ports fail: sysctl net.ipv4.ip_unprivileged_port_start=${HTTP_PORT}` };
}

function resolvers(host: Host): Finding {
  const servers = [...(host.read('/etc/resolv.conf') ?? '').matchAll(/^\s*nameserver\s+(\S+)/gm)].map(([, server]) => server!);
  const finding = { what: 'resolvers', found: servers.join(', ') || 'none' };
  if (servers.length > 0) return { ...finding, verdict: 'ok' };
  return {
    ...finding,
    verdict: 'warn',
    advice: "guests' questions are answered from zones and /etc/hosts alone: name a server in /etc/resolv.conf",
  };
}

function tun(host: Host): Finding {
  const path = '/dev/net/tun';
  if (host.opens(path)) return { what: 'TAP', verdict: 'ok', found: path };
  const wanted = 'links tap:NAME and gvforwarder need it';
  if (!host.exists(path))
    return { what: 'TAP', verdict: 'warn', found: 'none', advice: `${wanted}: modprobe tun, or --device ${path} for a container` };
  return {
    what: 'TAP',
    verdict: 'warn',
    found: `${path}, not for this user`,
    advice: `${wanted}: run as root, or give this user the device`,
  };
}

function vsock(host: Host): Finding {
  const what = 'vsock';
  if (!host.tries('vsock')) return { what, verdict: 'warn', found: 'none', advice: 'listening on vsock:// needs it: modprobe vsock' };
  const path = '/dev/vhost-vsock';
  if (host.opens(path)) return { what, verdict: 'ok', found: path };
  const advice = host.exists(path)
    ? `QEMU's vhost-vsock-pci needs ${path}: give this user the device`
    : 'VMs of this host need it: modprobe vhost_vsock';
  return { what, verdict: 'warn', found: `the kernel has it, VMs of this host can't use it`, advice };
}

function qemu({ qemu: version }: Host): Finding {
  if (version === undefined)
    return { what: 'QEMU', verdict: 'warn', found: 'none', advice: 'guestwire qemu needs it, unless --qemu names one' };
  const found = version.join('.');
  if (version[0] > 7 || (version[0] === 7 && version[1] >= 2)) return { what: 'QEMU', verdict: 'ok', found };
  return { what: 'QEMU', verdict: 'warn', found, advice: 'it has no -netdev stream: guestwire qemu, qemu-wrapper and tcp:// sockets work' };
}
