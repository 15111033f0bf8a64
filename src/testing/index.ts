/** `guestwire/testing`: a guest in TypeScript, for tests of what happens on a virtual network without a virtual machine. */
export type { Lease } from './dhcp-client.ts';
export { attachGuest, type AttachedGuest } from './attach.ts';
export type { Ipv6Configuration } from './router-advertisement.ts';
export type { Datagram } from './datagrams.ts';
export { SoftGuest, type SoftGuestOptions } from './soft-guest.ts';
export type { SoftSocket } from './soft-tcp.ts';
export { ManualScheduler, type Scheduler, type Wire } from './wire.ts';
