/** gvproxy's flags (contract §2.2), and a few of our own. */
import type { FlagDefinition, FlagValues } from './go-flags.ts';
import { DEFAULT_MTU, DEFAULT_SSH_PORT, DEFAULT_SUBNET, MTU_MAXIMUM, MTU_MINIMUM } from '../config/defaults.ts';

export const GVPROXY_FLAGS = {
  config: { kind: 'string', usage: 'Use a YAML configuration file' },
  listen: {
    kind: 'list',
    usage: 'URLs to serve the control API on: unix:///path, tcp://host:port, vsock://:port, fd:number or systemd:name',
  },
  services: { kind: 'string', usage: 'Exposes the same HTTP API as the -listen flag, without the /connect endpoint' },
  debug: { kind: 'bool', usage: 'Print debug info' },
  pcap: { kind: 'string', usage: 'Capture network traffic to a pcapng file' },
  mtu: { kind: 'int', usage: `Set the MTU, from ${MTU_MINIMUM} to ${MTU_MAXIMUM}, default is ${DEFAULT_MTU}` },
  'ssh-port': {
    kind: 'int',
    usage: 'Port to access the guest virtual machine. Must be between 1024 and 65535, or -1 for none',
    default: DEFAULT_SSH_PORT,
  },
  subnet: { kind: 'string', usage: 'Set the subnet of the virtual network', default: DEFAULT_SUBNET },
  gatewayIP: { kind: 'string', usage: 'Set the IP address of the gateway, default is the first address of the subnet' },
  deviceIP: { kind: 'string', usage: 'Set the IP address of the virtual machine, default is the second address of the subnet' },
  hostIP: { kind: 'string', usage: "Set the IP address that reaches the host's loopback, default is the last address of the subnet" },
  ipv4: { kind: 'bool', usage: 'Give guests IPv4', default: true },
  ipv6: { kind: 'bool', usage: 'Give guests IPv6', optional: true },
  subnet6: {
    kind: 'string',
    usage: 'Set the IPv6 prefix of the virtual network, one /64, default is a unique local one derived from the subnet',
  },
  gatewayIP6: { kind: 'string', usage: 'Set the IPv6 address of the gateway, default is ::1 of the prefix' },
  deviceIP6: { kind: 'string', usage: 'Set the IPv6 address of the virtual machine, default is ::2 of the prefix' },
  hostIP6: { kind: 'string', usage: "Set the IPv6 address that reaches the host's loopback ::1, default is ::254 of the prefix" },
  'listen-vpnkit': { kind: 'string', usage: 'VPNKit socket to be used by Hyperkit: unix:///path, tcp://host:port or vsock://:port' },
  'listen-qemu': {
    kind: 'string',
    usage: 'Socket to be used by QEMU: unix:///path, tcp://host:port, vsock://:port, fd:number or systemd:name',
  },
  'listen-bess': { kind: 'string', usage: 'Socket to be used by User Mode Linux: unixpacket:///path' },
  'listen-stdio': { kind: 'string', usage: 'Accept frames on standard input and output, if there is any text (accept, by convention)' },
  'listen-vfkit': { kind: 'string', usage: 'Socket to be used by vfkit-compatible applications: unixgram:///path' },
  link: { kind: 'list', usage: 'URLs of more links for VMs, such as qemu+unix:///path or tap:name (docs/links.md lists them)' },
  'forward-sock': { kind: 'list', usage: 'Forwards a unix socket to the guest virtual machine over SSH' },
  'forward-dest': { kind: 'list', usage: 'Forwards a unix socket to the guest virtual machine over SSH' },
  'forward-user': { kind: 'list', usage: 'SSH user to use for unix socket forward' },
  'forward-identity': { kind: 'list', usage: 'Path to SSH identity key for forwarding' },
  'pid-file': { kind: 'string', usage: 'Generate a file with the PID in it' },
  'log-file': { kind: 'string', usage: 'Output log messages to a given file path' },
  'log-format': { kind: 'string', usage: 'Write log messages as text (the default) or json' },
  'guest-api': { kind: 'string', usage: 'What guests may ask the API on port 80 of the gateway: full (the default), read-only or off' },
  'api-token-file': { kind: 'string', usage: 'File with the bearer token that guests must send to the API' },
  isolation: { kind: 'bool', usage: 'Keep virtual machines apart: they reach the gateway and not each other' },
  guard: {
    kind: 'string',
    usage: "What a virtual machine can't take from another: off, mac (the default) or lease (also its IP addresses)",
  },
  'ec2-metadata-access': { kind: 'bool', usage: 'Permits access to the EC2 metadata service (169.254.0.0/16)' },
  notification: { kind: 'string', usage: 'Socket to be notified of events: unix:///path' },
  version: { kind: 'bool', usage: 'Print version information' },
} as const satisfies Record<string, FlagDefinition>;

export type GvproxyValues = FlagValues<typeof GVPROXY_FLAGS>;
