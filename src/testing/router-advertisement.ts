/** What a router says (RFC 4861 §4.2), as the soft guest reads it: by itself, so that it judges what the gateway writes. */
import { IpAddress } from '../packet/address.ts';

const OPTIONS = 16;
const PREFIX = 3;
const MTU = 5;
/** RFC 8106 §5.1. */
const RDNSS = 25;
/** On-link and autonomous (RFC 4861 §4.6.2). */
const USABLE = 0xc0;

export interface Ipv6Configuration {
  /** The guest's own, of the prefix and its MAC address. */
  readonly address: string;
  /** Link-local. */
  readonly router: string;
  /** 0: the router doesn't say. */
  readonly mtu: number;
  readonly nameservers: readonly string[];
}

interface Advertisement extends Pick<Ipv6Configuration, 'mtu' | 'nameservers'> {
  readonly prefix: IpAddress | undefined;
}

/** Undefined when it is malformed. */
export function readAdvertisement(bytes: Uint8Array, at: number, end: number): Advertisement | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, end - at);
  const addressAt = (offset: number): IpAddress =>
    new IpAddress(view.getInt32(offset), view.getInt32(offset + 4), view.getInt32(offset + 8), view.getInt32(offset + 12));
  if (view.byteLength < OPTIONS) return undefined;
  let [prefix, mtu]: [IpAddress | undefined, number] = [undefined, 0];
  const nameservers: string[] = [];
  for (let offset = OPTIONS; offset < view.byteLength;) {
    const length = view.byteLength - offset < 8 ? 0 : view.getUint8(offset + 1) * 8;
    if (length === 0 || length > view.byteLength - offset) return undefined;
    const type = view.getUint8(offset);
    if (type === PREFIX && length === 32 && view.getUint8(offset + 2) === 64 && (view.getUint8(offset + 3) & USABLE) === USABLE)
      prefix = addressAt(offset + 16);
    else if (type === MTU) mtu = view.getUint32(offset + 4);
    else if (type === RDNSS)
      for (let each = offset + 8; each + 16 <= offset + length; each += 16) nameservers.push(addressAt(each).toString());
    offset += length;
  }
  return { prefix, mtu, nameservers };
}
