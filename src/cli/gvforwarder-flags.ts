/** gvforwarder's flags (contract §15.1); the last three are ours. */
import type { FlagDefinition, FlagValues } from './go-flags.ts';

export const GVFORWARDER_FLAGS = {
  url: {
    kind: 'string',
    usage: 'Where gvproxy is: vsock://CID:PORT/connect, unix:///PATH or stdio:/PROGRAM?flag=value',
    default: 'vsock://2:1024/connect',
  },
  iface: { kind: 'string', usage: 'Name of the TAP interface', default: 'tap0' },
  'stop-if-exist': {
    kind: 'string',
    usage: 'Do nothing when one of these interfaces is there, separated by commas',
    default: 'eth0,ens3,enp0s1',
  },
  mac: { kind: 'string', usage: 'MAC address of the interface; empty leaves it as it is', default: '5a:94:ef:e4:0c:ee' },
  mtu: { kind: 'int', usage: 'Without effect: frames of any length pass, and the MTU comes from DHCP', default: 4000 },
  preexisting: { kind: 'bool', usage: 'Somebody else configures the interface: no MAC address is set, no DHCP client runs' },
  debug: { kind: 'bool', usage: 'Print debug info' },
  version: { kind: 'bool', usage: 'Print version information' },
  offload: {
    kind: 'string',
    usage: 'Take and give TCP segments of 64 KiB whatever the MTU: on, off, or auto, which asks the server whether it can',
    default: 'auto',
  },
  dhcp: {
    kind: 'string',
    usage: 'Client that asks for an address: udhcpc, dhclient, own, off, or auto for the first of them that is there',
    default: 'auto',
  },
  'resolv-conf': { kind: 'string', usage: 'File that the own DHCP client names resolvers in; empty for none', default: '/etc/resolv.conf' },
} as const satisfies Record<string, FlagDefinition>;

export type GvforwarderValues = FlagValues<typeof GVFORWARDER_FLAGS>;
