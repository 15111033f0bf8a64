/** The DHCPv6 server (RFC 8415): addresses for those who ask for one, and the resolver for everybody. */
import { IpAddress } from '../../packet/address.ts';
import * as dhcp from '../../packet/dhcpv6.ts';
import type { Mac } from '../../packet/mac.ts';
import type { Listener, Peer, ServiceHost, Vm } from '../../flow/listener.ts';
import { encodeName } from '../dns/name.ts';
import type { Client6, LeasePool6 } from './lease-pool.ts';

const PORT = 547;
/** Bytes of a message that is read: clients fit theirs into one packet. */
export const MESSAGE_LIMIT = 1500;
/** Associations of one message that are looked at. */
const ASSOCIATIONS = 8;
/** Bytes of the search list that is sent. */
const SEARCH_LIMIT = 1000;
/** Seconds. A client asks again after the half, and everybody after four fifths. */
const PREFERRED = 3600;
const VALID = 7200;
const RENEW = 1800;
const REBIND = 2880;
/** RFC 8415 §21.8: nobody is preferred to this server. */
const PREFERENCE = 255;

export interface Dhcp6Options {
  readonly pool: LeasePool6;
  readonly gateway: IpAddress;
  /** The gateway's, which names the server. */
  readonly mac: Mac;
  readonly searchDomains: readonly string[];
  /** A guest was given an address. */
  readonly leased?: (mac: Mac, address: IpAddress, vm: Vm) => void;
}

export class Dhcp6Counters {
  advertises = 0;
  replies = 0;
  releases = 0;
  declines = 0;
  /** Messages that are not answered: for other servers, of relays, without what they need. */
  unhandled = 0;
  malformed = 0;
  /** Associations without an address. */
  exhausted = 0;
}

/** One message, and what its answer needs. */
interface Exchange {
  readonly message: dhcp.Dhcp6Message;
  readonly client: Client6;
  readonly associations: readonly dhcp.Association[];
}

export class Dhcp6Server {
  readonly counters: Dhcp6Counters = new Dhcp6Counters();
  readonly #options: Dhcp6Options;
  readonly #duid: Uint8Array;
  readonly #configuration: dhcp.Options;
  #listener: Listener | null = null;

  constructor(options: Dhcp6Options) {
    this.#options = options;
    this.#duid = dhcp.duidOf(options.mac.hi, options.mac.lo);
    const { w0, w1, w2, w3 } = options.gateway;
    const search = searchList(options.searchDomains);
    const resolver = [dhcp.OPTION_DNS, dhcp.words(w0, w1, w2, w3)] as const;
    this.#configuration = search.length === 0 ? [resolver] : [resolver, [dhcp.OPTION_SEARCH, search]];
  }

  listen(host: ServiceHost): void {
    this.#listener = host.listenDatagram(
      PORT,
      (payload, peer, reply) => {
        const answer = this.answer(payload, peer);
        if (answer !== undefined) reply(answer);
      },
      { anyAddress: true, version: 6 },
    );
  }

  close(): void {
    this.#listener?.close();
  }

  /** The answer to one message; undefined when there is none. */
  answer(payload: Uint8Array, { vm, mac }: Pick<Peer, 'vm' | 'mac'>): Uint8Array | undefined {
    const message = payload.length > MESSAGE_LIMIT ? undefined : dhcp.readDhcp6(payload);
    const associations = message === undefined ? undefined : dhcp.readAssociations(message.options);
    if (message === undefined || associations === undefined || mac === undefined) {
      this.counters.malformed++;
      return undefined;
    }
    const duid = dhcp.option(message.options, dhcp.OPTION_CLIENT_ID);
    if (!this.#isForUs(message, duid)) {
      this.counters.unhandled++;
      return undefined;
    }
    const client = { vm, mac, duid: duid ?? new Uint8Array(0) };
    // One that is there twice counts once.
    const seen = new Set<number>();
    const distinct = associations.filter(({ id }) => seen.size < seen.add(id).size);
    return this.#answer({ message, client, associations: distinct.slice(0, ASSOCIATIONS) });
  }

  /** RFC 8415 §16: who must be named in which message. */
  #isForUs({ type, options }: dhcp.Dhcp6Message, duid: Uint8Array | undefined): boolean {
    const server = dhcp.option(options, dhcp.OPTION_SERVER_ID);
    const ours = server !== undefined && Buffer.compare(server, this.#duid) === 0;
    if (duid !== undefined && (duid.length < 3 || duid.length > dhcp.DUID_LIMIT)) return false;
    switch (type) {
      case dhcp.SOLICIT:
      case dhcp.CONFIRM:
      case dhcp.REBIND:
        return duid !== undefined && server === undefined;
      case dhcp.REQUEST:
      case dhcp.RENEW:
      case dhcp.RELEASE:
      case dhcp.DECLINE:
        return duid !== undefined && ours;
      case dhcp.INFORMATION_REQUEST:
        return server === undefined || ours;
      default:
        return false;
    }
  }

  #answer(exchange: Exchange): Uint8Array | undefined {
    const { message, associations } = exchange;
    switch (message.type) {
      case dhcp.SOLICIT:
        return this.#solicit(exchange);
      case dhcp.CONFIRM:
        return this.#confirm(exchange);
      case dhcp.RELEASE:
        this.counters.releases++;
        return this.#end(exchange, (client, id) => this.#options.pool.release(client, id));
      case dhcp.DECLINE:
        this.counters.declines++;
        return this.#end(exchange, (client, id) => this.#options.pool.decline(client, id));
      case dhcp.INFORMATION_REQUEST:
        // RFC 8415 §18.3.6: who wants addresses asks otherwise.
        if (associations.length === 0) return this.#reply(dhcp.REPLY, exchange, this.#configuration);
        this.counters.unhandled++;
        return undefined;
      default:
        return this.#reply(dhcp.REPLY, exchange, [...this.#bound(exchange), ...this.#configuration]);
    }
  }

  #solicit(exchange: Exchange): Uint8Array {
    const rapid = dhcp.option(exchange.message.options, dhcp.OPTION_RAPID_COMMIT) !== undefined;
    if (rapid) {
      const options = [[dhcp.OPTION_RAPID_COMMIT, new Uint8Array(0)] as const, ...this.#bound(exchange), ...this.#configuration];
      return this.#reply(dhcp.REPLY, exchange, options);
    }
    const { client, associations } = exchange;
    const offers = associations.map(({ id }) => this.#association(id, this.#options.pool.offer(client, id), []));
    const preference = [dhcp.OPTION_PREFERENCE, Uint8Array.of(PREFERENCE)] as const;
    return this.#reply(dhcp.ADVERTISE, exchange, [preference, ...offers, ...this.#configuration]);
  }

  /** The associations with their addresses; others that the client has in them are to be given up (RFC 8415 §18.3.4). */
  #bound({ client, associations }: Exchange): dhcp.Options {
    return associations.map(({ id, addresses }) => {
      const address = this.#options.pool.bind(client, id);
      if (address !== undefined) this.#options.leased?.(client.mac, address, client.vm);
      return this.#association(id, address, addresses);
    });
  }

  #association(id: number, address: IpAddress | undefined, asked: readonly dhcp.LeasedAddress[]): readonly [number, Uint8Array] {
    if (address === undefined) {
      this.counters.exhausted++;
      const status = { code: dhcp.STATUS_NO_ADDRESSES, text: 'no address is free' };
      return [dhcp.OPTION_IA_NA, dhcp.writeAssociation({ id, renew: 0, rebind: 0, addresses: [], status })];
    }
    const given = { words: [address.w0, address.w1, address.w2, address.w3] as const, preferred: PREFERRED, valid: VALID };
    const others = asked.filter(({ words }) => !new IpAddress(...words).equals(address)).slice(0, ASSOCIATIONS);
    const ended = others.map(({ words }) => ({ words, preferred: 0, valid: 0 }));
    return [dhcp.OPTION_IA_NA, dhcp.writeAssociation({ id, renew: RENEW, rebind: REBIND, addresses: [given, ...ended] })];
  }

  /** RFC 8415 §18.3.3: whether a client's addresses are of this link. */
  #confirm(exchange: Exchange): Uint8Array | undefined {
    const addresses = exchange.associations.flatMap(({ addresses: of }) => of);
    if (addresses.length === 0) {
      this.counters.unhandled++;
      return undefined;
    }
    const { w0, w1 } = this.#options.gateway;
    const onLink = addresses.every(({ words }) => words[0] === w0 && words[1] === w1);
    const status = onLink
      ? { code: dhcp.STATUS_SUCCESS, text: 'all addresses are of this link' }
      : { code: dhcp.STATUS_NOT_ON_LINK, text: 'some addresses are not of this link' };
    return this.#reply(dhcp.REPLY, exchange, [[dhcp.OPTION_STATUS, dhcp.writeStatus(status)]]);
  }

  /** RFC 8415 §18.3.7, §18.3.8. */
  #end(exchange: Exchange, end: (client: Client6, id: number) => boolean): Uint8Array {
    const { associations, client } = exchange;
    const unknown = associations.filter(({ id }) => !end(client, id));
    const told = unknown.map(({ id }) => {
      const status = { code: dhcp.STATUS_NO_BINDING, text: 'no lease is known' };
      return [dhcp.OPTION_IA_NA, dhcp.writeAssociation({ id, renew: 0, rebind: 0, addresses: [], status })] as const;
    });
    const status = dhcp.writeStatus({ code: dhcp.STATUS_SUCCESS, text: 'taken back' });
    return this.#reply(dhcp.REPLY, exchange, [[dhcp.OPTION_STATUS, status], ...told]);
  }

  #reply(type: number, { message, client }: Exchange, options: dhcp.Options): Uint8Array {
    if (type === dhcp.ADVERTISE) this.counters.advertises++;
    else this.counters.replies++;
    const identities: [number, Uint8Array][] = [[dhcp.OPTION_SERVER_ID, this.#duid]];
    if (client.duid.length > 0) identities.unshift([dhcp.OPTION_CLIENT_ID, client.duid]);
    return dhcp.writeDhcp6({ type, transaction: message.transaction, options: [...identities, ...options] });
  }
}

/** A domain that can't be written is left out, and what is too much. */
function searchList(domains: readonly string[]): Uint8Array {
  const names: Uint8Array[] = [];
  let length = 0;
  for (const name of domains.map(encodeName)) {
    if (name === undefined) continue;
    length += name.length;
    if (length > SEARCH_LIMIT) break;
    names.push(name);
  }
  return Buffer.concat(names);
}
