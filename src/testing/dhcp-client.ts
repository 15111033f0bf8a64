/** The soft guest's DHCP client (RFC 2131 §4.4): DISCOVER, REQUEST, each tried a few times. */
import { formatIpv4 } from '../packet/address.ts';
import * as dhcp from '../packet/dhcpv4.ts';
import { CLIENT_PORT, leaseOf, messageType, SERVER_PORT, wordOption, writeClientMessage } from '../packet/dhcpv4-client.ts';
import type { Datagrams } from './datagrams.ts';

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
  const offer = await exchange(guest, xid, dhcp.OFFER, writeClientMessage({ type: dhcp.DISCOVER, xid, mac: guest.mac }));
  const chosen: [number, Uint8Array][] = [
    [dhcp.OPTION_REQUESTED_ADDRESS, wordOption(offer.yourAddress)],
    [dhcp.OPTION_SERVER_ID, offer.options.get(dhcp.OPTION_SERVER_ID) ?? wordOption(0)],
  ];
  const ack = await exchange(guest, xid, dhcp.ACK, writeClientMessage({ type: dhcp.REQUEST, xid, mac: guest.mac, options: chosen }));
  const { address, mask, router, nameservers, mtu, time } = leaseOf(ack);
  return {
    address: formatIpv4(address),
    mask: formatIpv4(mask),
    router: formatIpv4(router),
    nameserver: formatIpv4(nameservers[0] ?? 0),
    mtu,
    time: time === Infinity ? 0xffffffff : time,
  };
}

function exchange(guest: Datagrams, xid: number, wanted: number, request: Uint8Array): Promise<dhcp.DhcpMessage> {
  return new Promise((resolve, reject) => {
    let tries = 0;
    let cancel = (): void => {};
    const attempt = (): void => {
      if (tries++ === TRIES) {
        guest.onDatagram(CLIENT_PORT, undefined);
        return reject(new Error('no DHCP server answers'));
      }
      guest.sendDatagram(CLIENT_PORT, BROADCAST, SERVER_PORT, request);
      cancel = guest.scheduler.after(INTERVAL, attempt);
    };
    guest.onDatagram(CLIENT_PORT, ({ payload }) => {
      const answer = dhcp.readDhcp(payload);
      if (answer?.xid !== xid || messageType(answer) !== wanted) return;
      cancel();
      guest.onDatagram(CLIENT_PORT, undefined);
      resolve(answer);
    });
    attempt();
  });
}
