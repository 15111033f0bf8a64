/** guestwire as a library: a virtual network that a program embeds. docs/library.md says of each export how stable it is. */
export { VirtualNetwork } from './network.ts';
export type { DnsRecord, DnsZone, NamePattern, NetworkOptions } from './network-options.ts';
export type { NetworkEvents } from './network-events.ts';
export type { NetworkCounters } from './network-counters.ts';
export { commandLineNetwork, type CommandLineNetwork } from './config/defaults.ts';
export { type AddressPlan, ConfigError, planAddresses } from './config/subnet.ts';
export type { NetworkAddresses } from './config/subnet6.ts';
export { ArgumentError, CapacityError, type CapacityErrorCode, NetworkError, type NetworkErrorCode } from './errors.ts';
export { IpAddress } from './packet/address.ts';
export type { Abortable } from './runtime/abortable.ts';
export { SystemError } from './system/error.ts';
export type { LinkEvents } from './link/events.ts';
export type { Link } from './link/link.ts';
export type { SocketOptions } from './link/links.ts';
export type { FrameCapture, FrameDirection, FrameObserver, TapOptions } from './link/frame-observer.ts';
export type { FrameSink, MemoryPort } from './link/memory-port.ts';
export type { Port, PortCounters } from './link/port.ts';
export type { LinkKind, LinkSpec } from './link/spec.ts';
export { DialError, type DialErrorCode, type DialOptions } from './flow/dial.ts';
export type { FlowFilter, FlowList, FlowListener, FlowPage } from './flow/flow-list.ts';
export type { Listener, Peer } from './flow/listener.ts';
export type { FlowSnapshot, TcpStateName } from './flow/snapshot.ts';
export { type Forward, ForwardError, type ForwardErrorCode, type ForwardRequest } from './forward/forward.ts';
export type { Forwards } from './forward/forwards.ts';
export type { HostForward } from './forward/host-forward.ts';
export type { FlowHook, FlowVerdict, NewFlow } from './library/flow-hook.ts';
export type { ConnectionAddresses, GuestConnection } from './library/guest-connection.ts';
export type {
  DatagramSource,
  GuestConversation,
  GuestConversationEvents,
  GuestSocket,
  GuestSocketEvents,
} from './library/guest-datagrams.ts';
export type { GuestServer, GuestServerEvents } from './library/guest-server.ts';
export type { ListenOptions, UdpOptions } from './library/program-side.ts';
export { ZoneError, type Zones } from './service/dns/zones.ts';
