/** The DHCP server (contract §11): offers and acknowledges, never refuses. */
import { setU16, setU32 } from '../../packet/bytes.ts';
import * as dhcp from '../../packet/dhcpv4.ts';
import type { Listener, ServiceHost, Vm } from '../../flow/listener.ts';
import { LEASE_TIME, type LeasePool } from './lease-pool.ts';
import { encodeSearchList } from './search-list.ts';

const PORT = 67;
const ETHERNET = 1;
const MAC_LENGTH = 6;
/**
 * Bytes of a message that is read. Clients fit theirs into one Ethernet packet; 64 KiB of empty options in fragments would hold
 * everybody up for tens of milliseconds.
 */
export const MESSAGE_LIMIT = 1500;

export interface DhcpOptions {
  readonly pool: LeasePool;
  /** IPv4 words: router, resolver and server identifier; subnet mask. */
  readonly gateway: number;
  readonly mask: number;
  readonly mtu: number;
  readonly searchDomains: readonly string[];
  /** A guest was given an address. */
  readonly leased?: (mac: string, address: number, vm: Vm) => void;
}

export class DhcpCounters {
  offers = 0;
  acks = 0;
  releases = 0;
  /** Messages that are not answered: DECLINE, BOOTP, replies. */
  unhandled = 0;
  malformed = 0;
  /** Nothing free. */
  exhausted = 0;
}

export class DhcpServer {
  readonly counters: DhcpCounters = new DhcpCounters();
  readonly #options: DhcpOptions;
  readonly #search: Uint8Array;
  #listener: Listener | null = null;

  constructor(options: DhcpOptions) {
    this.#options = options;
    this.#search = encodeSearchList(options.searchDomains);
  }

  listen(host: ServiceHost): void {
    this.#listener = host.listenDatagram(
      PORT,
      (payload, { vm }, reply) => {
        const answer = this.answer(payload, vm);
        if (answer !== undefined) reply(answer);
      },
      { anyAddress: true, version: 4 },
    );
  }

  close(): void {
    this.#listener?.close();
  }

  /** The answer to one message of `vm`; undefined when there is none. */
  answer(payload: Uint8Array, vm: Vm): Uint8Array | undefined {
    const message = payload.length > MESSAGE_LIMIT ? undefined : dhcp.readDhcp(payload);
    if (
      message === undefined ||
      message.op !== dhcp.BOOT_REQUEST ||
      message.hardwareType !== ETHERNET ||
      message.hardwareLength !== MAC_LENGTH
    ) {
      this.counters.malformed++;
      return undefined;
    }
    const mac = Buffer.from(message.hardwareAddress.subarray(0, MAC_LENGTH))
      .toString('hex')
      .replace(/(..)(?=.)/g, '$1:');
    const type = message.options.get(dhcp.OPTION_MESSAGE_TYPE)?.[0];
    if (type === dhcp.DISCOVER) return this.#offer(message, mac, vm);
    if (type === dhcp.REQUEST) return this.#acknowledge(message, mac, vm);
    if (type === dhcp.INFORM) return this.#inform(message);
    // The lease is kept: the guest gets the same address when it comes back, and nobody can end another's in its name.
    if (type === dhcp.RELEASE) this.counters.releases++;
    else this.counters.unhandled++;
    return undefined;
  }

  #offer(message: dhcp.DhcpMessage, mac: string, vm: Vm): Uint8Array | undefined {
    const address = this.#options.pool.offer(mac, vm);
    if (address === undefined) {
      this.counters.exhausted++;
      return undefined;
    }
    this.counters.offers++;
    return this.#reply(message, dhcp.OFFER, address);
  }

  #acknowledge(message: dhcp.DhcpMessage, mac: string, vm: Vm): Uint8Array | undefined {
    const address = this.#options.pool.bind(mac, vm);
    if (address === undefined) {
      this.counters.exhausted++;
      return undefined;
    }
    this.counters.acks++;
    this.#options.leased?.(mac, address, vm);
    return this.#reply(message, dhcp.ACK, address);
  }

  /** RFC 2131 §4.3.5: configuration for a guest that has an address already; no address, no lease time. */
  #inform(message: dhcp.DhcpMessage): Uint8Array {
    this.counters.acks++;
    return this.#reply(message, dhcp.ACK, 0);
  }

  /** Options in ascending order of their codes, relay information last (contract §11.2). */
  #reply(request: dhcp.DhcpMessage, type: number, address: number): Uint8Array {
    const { gateway, mask, mtu } = this.#options;
    const options = new Map<number, Uint8Array>();
    options.set(dhcp.OPTION_SUBNET_MASK, word(mask));
    options.set(dhcp.OPTION_ROUTER, word(gateway));
    options.set(dhcp.OPTION_DNS, word(gateway));
    options.set(dhcp.OPTION_MTU, short(mtu));
    if (address !== 0) options.set(dhcp.OPTION_LEASE_TIME, word(LEASE_TIME));
    options.set(dhcp.OPTION_MESSAGE_TYPE, Uint8Array.of(type));
    options.set(dhcp.OPTION_SERVER_ID, word(gateway));
    copyOption(request, options, dhcp.OPTION_CLIENT_ID);
    options.set(dhcp.OPTION_SEARCH, this.#search);
    copyOption(request, options, dhcp.OPTION_RELAY_AGENT);
    return dhcp.writeDhcp({
      op: dhcp.BOOT_REPLY,
      hardwareType: request.hardwareType,
      hardwareLength: request.hardwareLength,
      xid: request.xid,
      flags: request.flags,
      clientAddress: type === dhcp.ACK && address === 0 ? request.clientAddress : 0,
      yourAddress: address,
      serverAddress: 0,
      relayAddress: request.relayAddress,
      hardwareAddress: request.hardwareAddress,
      options,
    });
  }
}

/** Only what fits one option: a guest's huge value would come back to every guest as a broadcast in fragments. */
function copyOption(from: dhcp.DhcpMessage, to: Map<number, Uint8Array>, code: number): void {
  const value = from.options.get(code);
  if (value !== undefined && value.length <= 255) to.set(code, value);
}

function word(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  setU32(bytes, 0, value);
  return bytes;
}

function short(value: number): Uint8Array {
  const bytes = new Uint8Array(2);
  setU16(bytes, 0, value);
  return bytes;
}
