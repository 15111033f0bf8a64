/** The soft guest's DHCP client (RFC 2131 §4.4): DISCOVER, REQUEST, each tried a few times. */
import { formatIpv4 } from '../packet/address.ts';
import { i32, setU32, u16 } from '../packet/bytes.ts';
import * as dhcp from '../packet/dhcpv4.ts';
import type { Datagrams } from './datagrams.ts';

const CLIENT = 68;
const SERVER = 67;
const BROADCAST = '255.255.255.255';
const TRIES = 4;
const INTERVAL = 500;

export interface Lease {
  /** Dotted, `192.168.127.2`, as are the mask and the servers; `0.0.0.0` what the server didn't say. */
  readonly address: string;
  readonly mask: string;
  readonly router: string;
  readonly nameserver: string;
  /** 0 when the server didn't say. */
  readonly mtu: number;
  /** Seconds. */
  readonly time: number;
}

/** Rejects when no server answers. */
export async function requestLease(guest: Datagrams): Promise<Lease> {
  const xid = (Math.floor(guest.scheduler.now() * 1000) ^ guest.mac.lo) >>> 0;
  const offer = await exchange(guest, xid, dhcp.OFFER, message(guest, xid, dhcp.DISCOVER, []));
  const chosen: [number, Uint8Array][] = [
    [dhcp.OPTION_REQUESTED_ADDRESS, word(offer.yourAddress)],
    [dhcp.OPTION_SERVER_ID, offer.options.get(dhcp.OPTION_SERVER_ID) ?? word(0)],
  ];
  const ack = await exchange(guest, xid, dhcp.ACK, message(guest, xid, dhcp.REQUEST, chosen));
  const option = (code: number): number => {
    const value = ack.options.get(code);
    return value !== undefined && value.length >= 4 ? i32(value, 0) : 0;
  };
  const mtu = ack.options.get(dhcp.OPTION_MTU);
  return {
    address: formatIpv4(ack.yourAddress),
    mask: formatIpv4(option(dhcp.OPTION_SUBNET_MASK)),
    router: formatIpv4(option(dhcp.OPTION_ROUTER)),
    nameserver: formatIpv4(option(dhcp.OPTION_DNS)),
    mtu: mtu === undefined ? 0 : u16(mtu, 0),
    time: option(dhcp.OPTION_LEASE_TIME),
  };
}

function message(guest: Datagrams, xid: number, type: number, options: [number, Uint8Array][]): Uint8Array {
  const hardwareAddress = new Uint8Array(16);
  hardwareAddress[0] = guest.mac.hi >>> 8;
  hardwareAddress[1] = guest.mac.hi;
  setU32(hardwareAddress, 2, guest.mac.lo);
  return dhcp.writeDhcp({
    op: dhcp.BOOT_REQUEST,
    hardwareType: 1,
    hardwareLength: 6,
    xid,
    flags: 0,
    clientAddress: 0,
    yourAddress: 0,
    serverAddress: 0,
    relayAddress: 0,
    hardwareAddress,
    options: new Map([[dhcp.OPTION_MESSAGE_TYPE, Uint8Array.of(type)], ...options]),
  });
}

function exchange(guest: Datagrams, xid: number, wanted: number, request: Uint8Array): Promise<dhcp.DhcpMessage> {
  return new Promise((resolve, reject) => {
    let tries = 0;
    let cancel = (): void => {};
    const attempt = (): void => {
      if (tries++ === TRIES) {
        guest.onDatagram(CLIENT, undefined);
        return reject(new Error('no DHCP server answers'));
      }
      guest.sendDatagram(CLIENT, BROADCAST, SERVER, request);
      cancel = guest.scheduler.after(INTERVAL, attempt);
    };
    guest.onDatagram(CLIENT, ({ payload }) => {
      const answer = dhcp.readDhcp(payload);
      if (answer?.xid !== xid || answer.options.get(dhcp.OPTION_MESSAGE_TYPE)?.[0] !== wanted) return;
      cancel();
      guest.onDatagram(CLIENT, undefined);
      resolve(answer);
    });
    attempt();
  });
}

function word(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  setU32(bytes, 0, value);
  return bytes;
}
