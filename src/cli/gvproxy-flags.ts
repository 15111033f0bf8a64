/** gvproxy's flags (contract §2.2). Those marked are accepted by name and refused clearly until their part is built. */
import type { FlagDefinition } from './go-flags.ts';
import { DEFAULT_SSH_PORT, DEFAULT_SUBNET } from '../config/defaults.ts';

export const GVPROXY_FLAGS = {
  config: { kind: 'string', usage: 'Use a YAML configuration file' },
  listen: { kind: 'list', usage: 'URLs to serve the control API on' },
  services: { kind: 'string', usage: 'Exposes the same HTTP API as the -listen flag, without the /connect endpoint' },
  debug: { kind: 'bool', usage: 'Print debug info' },
  pcap: { kind: 'string', usage: 'Capture network traffic to a pcapng file' },
  mtu: { kind: 'int', usage: 'Set the MTU, default is 1500' },
  'ssh-port': {
    kind: 'int',
    usage: 'Port to access the guest virtual machine. Must be between 1024 and 65535, or -1 for none',
    default: DEFAULT_SSH_PORT,
  },
  subnet: { kind: 'string', usage: 'Set the subnet of the virtual network', default: DEFAULT_SUBNET },
  gatewayIP: { kind: 'string', usage: 'Set the IP address of the gateway, default is the first address of the subnet' },
  deviceIP: { kind: 'string', usage: 'Set the IP address of the virtual machine, default is the second address of the subnet' },
  hostIP: { kind: 'string', usage: "Set the IP address that reaches the host's loopback, default is the last address of the subnet" },
  'listen-vpnkit': { kind: 'string', usage: 'VPNKit socket to be used by Hyperkit' },
  'listen-qemu': { kind: 'string', usage: 'Socket to be used by QEMU: unix:///path or tcp://host:port' },
  'listen-bess': { kind: 'string', usage: 'unixpacket socket to be used by User Mode Linux' },
  'listen-stdio': { kind: 'string', usage: 'Accept frames on standard input and output' },
  'listen-vfkit': { kind: 'string', usage: 'unixgram socket to be used by vfkit-compatible applications' },
  'forward-sock': { kind: 'list', usage: 'Forwards a unix socket to the guest virtual machine over SSH' },
  'forward-dest': { kind: 'list', usage: 'Forwards a unix socket to the guest virtual machine over SSH' },
  'forward-user': { kind: 'list', usage: 'SSH user to use for unix socket forward' },
  'forward-identity': { kind: 'list', usage: 'Path to SSH identity key for forwarding' },
  'pid-file': { kind: 'string', usage: 'Generate a file with the PID in it' },
  'log-file': { kind: 'string', usage: 'Output log messages to a given file path' },
  'ec2-metadata-access': { kind: 'bool', usage: 'Permits access to the EC2 metadata service (169.254.0.0/16)' },
  notification: { kind: 'string', usage: 'Socket to be notified of events' },
  version: { kind: 'bool', usage: 'Print version information' },
} as const satisfies Record<string, FlagDefinition>;

/** Not built yet. */
export const LATER_FLAGS: readonly string[] = [
  'config',
  'listen',
  'services',
  'listen-vpnkit',
  'listen-bess',
  'listen-stdio',
  'listen-vfkit',
  'forward-sock',
  'forward-dest',
  'forward-user',
  'forward-identity',
  'notification',
];
