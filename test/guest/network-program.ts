/**
 * A virtual network with two guests, driven by lines on standard input; what the guests see comes out as lines of JSON.
 * For tests that change the host's network under it: they run it in a namespace of its own.
 *
 *     udp ADDRESS PORT SIZE DF TTL     a datagram of the first guest, from port 5000
 *     connect ADDRESS PORT             a TCP connection of the second guest
 *     say TEXT                         text on it
 *     resolve NAME                     asks the network's resolver
 */
import { createInterface } from 'node:readline';
import { formatIpv4, parseIpv4 } from '../../src/packet/address.ts';
import * as ethernet from '../../src/packet/ethernet.ts';
import * as icmp from '../../src/packet/icmpv4.ts';
import * as ipv4 from '../../src/packet/ipv4.ts';
import { parseMac } from '../../src/packet/mac.ts';
import * as udp from '../../src/packet/udp.ts';
import { VirtualNetwork } from '../../src/network.ts';
import { attachGuest } from '../../src/testing/attach.ts';
import type { SoftSocket } from '../../src/testing/soft-tcp.ts';

const GATEWAY = parseMac('5a:94:ef:e4:0c:dd')!;
const GUEST = parseMac('5a:94:ef:e4:0c:01')!;
const ADDRESS = parseIpv4('192.168.127.77')!;
const PORT = 5000;
const IP = ethernet.HEADER;
const PAYLOAD = IP + ipv4.HEADER;

function tell(event: Record<string, unknown>): void {
  console.log(JSON.stringify(event));
}

function seen(bytes: Uint8Array, at: number): void {
  if (ethernet.type(bytes, at) !== ethernet.TYPE_IPV4) return;
  const from = formatIpv4(ipv4.source(bytes, at + IP));
  const size = ipv4.totalLength(bytes, at + IP) - ipv4.HEADER;
  if (ipv4.protocol(bytes, at + IP) === ipv4.PROTOCOL_UDP) {
    tell({ udp: size, from, fragment: ipv4.fragment(bytes, at + IP) & (ipv4.FLAG_MF | ipv4.OFFSET_MASK) });
    return;
  }
  if (ipv4.protocol(bytes, at + IP) !== ipv4.PROTOCOL_ICMP) return;
  const quoted = at + PAYLOAD + icmp.HEADER;
  tell({
    icmp: `${icmp.type(bytes, at + PAYLOAD)}/${icmp.code(bytes, at + PAYLOAD)}`,
    mtu: icmp.nextHopMtu(bytes, at + PAYLOAD),
    from,
    about: `${formatIpv4(ipv4.source(bytes, quoted))}:${udp.sourcePort(bytes, quoted + ipv4.HEADER)} to ${formatIpv4(ipv4.destination(bytes, quoted))}:${udp.destinationPort(bytes, quoted + ipv4.HEADER)}`,
  });
}

const network = await VirtualNetwork.create();
const raw = network.attachMemory('raw', seen);
const { guest } = attachGuest(network, '5a:94:ef:e4:0c:02');
await guest.dhcp();
let socket: SoftSocket | undefined;

function sendDatagram(to: string, port: string, size: number, df: boolean, ttl: number): void {
  const frame = new Uint8Array(PAYLOAD + udp.HEADER + size);
  ethernet.write(frame, 0, GATEWAY.hi, GATEWAY.lo, GUEST.hi, GUEST.lo, ethernet.TYPE_IPV4);
  ipv4.write(frame, IP, frame.length - IP, 1, df ? ipv4.FLAG_DF : 0, ttl, ipv4.PROTOCOL_UDP, ADDRESS, parseIpv4(to)!);
  udp.write(frame, PAYLOAD, PORT, Number(port), udp.HEADER + size);
  frame.fill(0x61, PAYLOAD + udp.HEADER);
  raw.send(frame);
}

async function connect(to: string, port: string): Promise<void> {
  socket = await guest.connect(to, Number(port));
  socket.on('data', (data: Buffer) => tell({ heard: data.toString() }));
  socket.on('error', (error: Error) => tell({ error: error.message }));
  tell({ connected: true });
}

createInterface({ input: process.stdin }).on('line', (line) => {
  const [command, ...words] = line.split(' ') as [string, ...string[]];
  if (command === 'udp') sendDatagram(words[0]!, words[1]!, Number(words[2]), words[3] === 'df', Number(words[4] ?? 64));
  else if (command === 'connect') connect(words[0]!, words[1]!).catch((error: Error) => tell({ error: error.message }));
  else if (command === 'say') socket!.write(words.join(' '));
  else if (command === 'resolve')
    guest.resolve(words[0]!).then(
      (addresses) => tell({ resolved: addresses }),
      (error: Error) => tell({ error: error.message }),
    );
});
tell({ ready: true });
