/** guestwire as a library: a virtual network that a program embeds. */
export { VirtualNetwork, type Link, type LinkEvents, type LinkKind, type LinkSpec, type NetworkEvents } from './network.ts';
export type { DnsRecord, DnsZone, NamePattern, NetworkOptions } from './network-options.ts';
export { DialError, type DialOptions } from './flow/dial.ts';
export { commandLineNetwork, type CommandLineNetwork } from './config/defaults.ts';
export { type AddressPlan, ConfigError, planAddresses } from './config/subnet.ts';
export { SystemError } from './system/error.ts';
