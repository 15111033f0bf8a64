/** What gvproxy runs with: command line and configuration file put together (contract §3). */
import type { DnsZone, NamePattern, NetworkOptions } from '../network-options.ts';
import { DEFAULT_MTU, DEVICE_MAC, DEVICE_UUID, GATEWAY_MAC, internalZones, sshForward } from './defaults.ts';
import { parseDuration } from './duration.ts';
import type { ConfigFile } from './file-schema.ts';
import { type LogLevel, parseLogLevel } from './log-level.ts';
import { planIpv6 } from './subnet6.ts';
import { type AddressPlan, ConfigError, planAddresses } from './subnet.ts';

/** How VMs attach, each a URL or empty; in the order in which they are opened (contract §4.1). */
export const INTERFACES = ['vpnkit', 'qemu', 'bess', 'vfkit', 'stdio'] as const;
export type Interface = (typeof INTERFACES)[number];

/** A socket of the host that leads to one in the guest over SSH (contract §14.6). */
export interface SshForwardConfig {
  /** Path, or `unix://…`. */
  readonly socket: string;
  /** Path in the guest. */
  readonly dest: string;
  readonly user: string;
  /** Path of a private key. */
  readonly identity: string;
}

/** The network's options, every default filled in; not checked beyond the addresses. */
export interface StackConfig extends Omit<NetworkOptions, keyof AddressPlan>, AddressPlan {
  readonly debug: boolean;
}

/** Empty text: not wanted. */
export interface GvproxyConfig {
  /** URLs. */
  readonly listen: readonly string[];
  /** URL. */
  readonly services: string;
  readonly interfaces: Readonly<Record<Interface, string>>;
  /** URLs of links; see config/link-url.ts. */
  readonly links: readonly string[];
  /** Path; as the command line gives it, a URL, until that has been checked. */
  readonly notification: string;
  readonly logLevel: LogLevel;
  readonly logFile: string;
  readonly logFormat: string;
  readonly pidFile: string;
  readonly guestApi: 'full' | 'read-only' | 'off';
  /** Path. */
  readonly apiTokenFile: string;
  readonly forwards: readonly SshForwardConfig[];
  readonly stack: StackConfig;
}

/** The flags that say something of the configuration, by their names (contract §2.2). */
export interface CommandLine {
  readonly config: string;
  readonly listen: readonly string[];
  readonly services: string;
  readonly debug: boolean;
  readonly pcap: string;
  readonly mtu: number;
  readonly 'ssh-port': number;
  readonly subnet: string;
  readonly gatewayIP: string;
  readonly deviceIP: string;
  readonly hostIP: string;
  readonly ipv4: boolean;
  /** Undefined: nothing is said of it. */
  readonly ipv6?: boolean | undefined;
  readonly subnet6: string;
  readonly gatewayIP6: string;
  readonly deviceIP6: string;
  readonly hostIP6: string;
  readonly 'listen-vpnkit': string;
  readonly 'listen-qemu': string;
  readonly 'listen-bess': string;
  readonly 'listen-stdio': string;
  readonly 'listen-vfkit': string;
  readonly link: readonly string[];
  readonly 'forward-sock': readonly string[];
  readonly 'forward-dest': readonly string[];
  readonly 'forward-user': readonly string[];
  readonly 'forward-identity': readonly string[];
  readonly 'pid-file': string;
  readonly 'log-file': string;
  readonly 'log-format': string;
  readonly 'guest-api': string;
  readonly 'api-token-file': string;
  readonly isolation: boolean;
  readonly guard: string;
  readonly 'ec2-metadata-access': boolean;
  readonly notification: string;
}

/** What else counts besides the flags. */
export interface Surroundings {
  /** The file that `-config` names; undefined without the flag. */
  readonly file: ConfigFile | undefined;
  /** How the file's expressions are read; nobody needs it without a file. */
  readonly compile?: (regexp: string) => NamePattern;
  /** The host's, for a network without a file. */
  readonly searchDomains: readonly string[];
}

/** Contract §3.3, §3.4. Throws ConfigError for subnet and addresses (§2.3 rows 3 to 5); what else is wrong is found later. */
export function resolveGvproxyConfig(flags: CommandLine, surroundings: Surroundings): GvproxyConfig {
  const { file = {} } = surroundings;
  const logLevel = resolveLogLevel(flags, file);
  const stack = resolveStack(flags, surroundings, logLevel === 'debug');
  const config = {
    listen: flags.listen.length > 0 ? flags.listen : (file.listen ?? []),
    services: flags.services || (file.services ?? ''),
    interfaces: {
      vpnkit: flags['listen-vpnkit'] || (file.interfaces?.vpnkit ?? ''),
      qemu: flags['listen-qemu'] || (file.interfaces?.qemu ?? ''),
      bess: flags['listen-bess'] || (file.interfaces?.bess ?? ''),
      vfkit: flags['listen-vfkit'] || (file.interfaces?.vfkit ?? ''),
      stdio: flags['listen-stdio'] || (file.interfaces?.stdio ?? ''),
    },
    links: flags.link.length > 0 ? flags.link : (file.links ?? []),
    notification: flags.notification || (file.notification ?? ''),
    logLevel,
    logFile: flags['log-file'] || (file['log-file'] ?? ''),
    logFormat: flags['log-format'] || (file['log-format'] ?? 'text'),
    pidFile: flags['pid-file'] || (file['pid-file'] ?? ''),
    guestApi: guestAccess(flags['guest-api'] || (file['guest-api'] ?? (stack.isolation === true ? 'read-only' : 'full'))),
    apiTokenFile: flags['api-token-file'] || (file['api-token-file'] ?? ''),
    forwards: [...fileForwards(file), ...commandLineForwards(flags)],
    stack,
  } satisfies GvproxyConfig;
  return config;
}

function guestAccess(text: string): GvproxyConfig['guestApi'] {
  if (text === 'full' || text === 'read-only' || text === 'off') return text;
  throw new ConfigError(`guest-api can't be ${JSON.stringify(text)}: want full, read-only or off`);
}

/** Undefined without the flag. */
function guardOf(text: string): StackConfig['guard'] | undefined {
  if (text === '') return undefined;
  if (text === 'off' || text === 'mac' || text === 'lease') return text;
  throw new ConfigError(`guard can't be ${JSON.stringify(text)}: want off, mac or lease`);
}

/** Known before all else, for the log of what follows. */
export function resolveLogLevel(flags: CommandLine, file: ConfigFile = {}): LogLevel {
  return flags.debug ? 'debug' : (parseLogLevel(file['log-level'] ?? '') ?? 'info');
}

function fileForwards(file: ConfigFile): SshForwardConfig[] {
  return (file.forwards ?? []).map(({ socket = '', dest = '', user = '', identity = '' }) => ({ socket, dest, user, identity }));
}

/** Lists of different lengths are refused later (contract §2.3 row 12). */
function commandLineForwards(flags: CommandLine): SshForwardConfig[] {
  return flags['forward-sock'].map((socket, i) => ({
    socket,
    dest: flags['forward-dest'][i] ?? '',
    user: flags['forward-user'][i] ?? '',
    identity: flags['forward-identity'][i] ?? '',
  }));
}

function resolveStack(flags: CommandLine, { file, compile, searchDomains }: Surroundings, debug: boolean): StackConfig {
  const stack = file?.stack ?? {};
  const addresses = planAddresses(
    stack.subnet || flags.subnet || undefined,
    stack.gatewayIP || flags.gatewayIP,
    stack.deviceIP || flags.deviceIP,
    stack.hostIP || flags.hostIP,
  );
  const { gatewayIP, deviceIP, hostIP } = addresses;
  const mtu = flags.mtu || stack.mtu || DEFAULT_MTU;
  const ipv4 = stack.ipv4 ?? flags.ipv4;
  const choice = {
    ipv4,
    ipv6: stack.ipv6 ?? flags.ipv6,
    subnet6: stack.subnet6 || flags.subnet6,
    gatewayIP6: stack.gatewayIP6 || flags.gatewayIP6,
    deviceIP6: stack.deviceIP6 || flags.deviceIP6,
    hostIP6: stack.hostIP6 || flags.hostIP6,
  };
  const ipv6 = planIpv6(choice, addresses.subnet, mtu);
  const captureFile = file === undefined ? flags.pcap : (stack['capture-file'] ?? '');
  const guard = guardOf(flags.guard) ?? stack.guard;
  const connectTimeout = stack.tcpConnectTimeout === undefined ? undefined : parseDuration(stack.tcpConnectTimeout);
  const common = {
    debug: debug || (stack.debug ?? false),
    mtu,
    ...addresses,
    ...(ipv6 && { ipv6: true, ...ipv6, ...(ipv4 ? {} : { ipv4 }) }),
    gatewayMacAddress: stack.gatewayMacAddress || GATEWAY_MAC,
    nat: isEmpty(stack.nat) ? { [hostIP]: '127.0.0.1' } : stack.nat!,
    gatewayVirtualIPs: stack.gatewayVirtualIPs?.length ? stack.gatewayVirtualIPs : [hostIP],
    ec2MetadataAccess: flags['ec2-metadata-access'] || (file?.['ec2-metadata-access'] ?? false) || (stack.ec2MetadataAccess ?? false),
    isolation: flags.isolation || (stack.isolation ?? false),
    ...(guard === undefined ? {} : { guard }),
    ...(captureFile === '' ? {} : { captureFile }),
    ...(stack.tcpMaxInFlight ? { tcpMaxInFlight: stack.tcpMaxInFlight } : {}),
    ...(connectTimeout ? { tcpConnectTimeout: connectTimeout } : {}),
  };
  if (file === undefined) {
    return {
      ...common,
      dns: internalZones(gatewayIP, hostIP, ipv6, ipv4),
      dnsSearchDomains: searchDomains,
      forwards: sshForward(flags['ssh-port'], ipv4 ? deviceIP : `[${ipv6!.deviceIP6}]`),
      dhcpStaticLeases: { [deviceIP]: DEVICE_MAC },
      vpnKitUUIDMacAddresses: { [DEVICE_UUID]: DEVICE_MAC },
    };
  }
  return {
    ...common,
    dns: (stack.dns ?? []).map((zone) => fileZone(zone, compile!)),
    dnsSearchDomains: stack.dnsSearchDomains ?? [],
    forwards: stack.forwards ?? {},
    dhcpStaticLeases: stack.dhcpStaticLeases ?? {},
    vpnKitUUIDMacAddresses: stack.vpnKitUUIDMacAddresses ?? {},
  };
}

type FileZone = NonNullable<NonNullable<ConfigFile['stack']>['dns']>[number];

function fileZone({ name = '', records = [], defaultIP = '' }: FileZone, compile: (regexp: string) => NamePattern): DnsZone {
  const known = records.map(({ name: label = '', ip = '', regexp = '' }) => {
    return regexp === '' ? { name: label, ip } : { name: label, ip, pattern: compile(regexp) };
  });
  // Without its dot it would never match (contract §12.2).
  const zone = { name: name === '' || name.endsWith('.') ? name : `${name}.`, records: known };
  return defaultIP === '' ? zone : { ...zone, defaultIP };
}

function isEmpty(table: Readonly<Record<string, string>> | undefined): boolean {
  return table === undefined || Object.keys(table).length === 0;
}
