/** What the soft guest's clients need of it: to send and hear datagrams, and a clock. */
import type { Mac } from '../packet/mac.ts';
import type { Scheduler } from './wire.ts';

export interface Datagram {
  /** IPv4 or IPv6. */
  readonly from: string;
  readonly port: number;
  readonly payload: Buffer;
}

export interface Datagrams {
  readonly mac: Mac;
  readonly scheduler: Scheduler;
  /** IPv4 or IPv6. */
  readonly nameserver: string;
  ephemeralPort(): number;
  /** `undefined` ends it. */
  onDatagram(port: number, receive: ((datagram: Datagram) => void) | undefined): void;
  sendDatagram(fromPort: number, host: string, port: number, payload: Uint8Array): void;
}
