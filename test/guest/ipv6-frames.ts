/** Messages of neighbour discovery that a VM makes up, the second of ipv6-guest.ts's network. */
import { PREFIX } from './ipv6-guest.ts';

/** What that VM's kernel makes of its MAC address. */
export const OTHER: string = `${PREFIX}:5894:efff:fee4:cef`;
const MAC = '5a94efe40cef';

/** Frames in hex, sent as they are, ICMPv6 checksums filled in; so many times. */
export const RAW = `
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(('tap0', 0))
for text in sys.argv[2:]:
    frame = bytearray(bytes.fromhex(text))
    words = bytes(frame[22:54]) + len(frame[54:]).to_bytes(4, 'big') + b'\\x00\\x00\\x00\\x3a' + bytes(frame[54:])
    total = sum(int.from_bytes(words[i:i + 2], 'big') for i in range(0, len(words), 2))
    while total >> 16: total = (total & 0xffff) + (total >> 16)
    frame[56:58] = (~total & 0xffff).to_bytes(2, 'big')
    for _ in range(int(sys.argv[1])): s.send(frame)`;

/** The address's bytes. */
function hex(address: string): string {
  const [head = '', tail] = address.split('::');
  const groups = (text = ''): string[] => text.split(':').filter(Boolean);
  const zeros = Array.from({ length: 8 - groups(head).length - groups(tail).length }, () => '0');
  return [...groups(head), ...zeros, ...groups(tail)].map((group) => group.padStart(4, '0')).join('');
}

/** An ICMPv6 message to all nodes; `body` is what stands behind the checksum. */
function message(source: string, type: string, body: string): string {
  const length = (4 + body.length / 2).toString(16).padStart(4, '0');
  return `333300000001${MAC}86dd60000000${length}3aff${hex(source)}${hex('ff02::1')}${type}000000${body}`;
}

/** Of a router that offers another prefix. */
export function routerAdvertisement(source: string): string {
  return message(source, '86', `40000708${'00'.repeat(8)}` + `030440c0ffffffffffffffff00000000${hex('fd66::')}` + `0101${MAC}`);
}

/** That `target` is now at this VM. */
export function claim(source: string, target: string): string {
  return message(source, '88', `20000000${hex(target)}0201${MAC}`);
}
