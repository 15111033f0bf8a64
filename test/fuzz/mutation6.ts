/** What is done to IPv6 frames before they are sent, besides what is done to all (mutation.ts): lies in the fixed header, and behind it. */
import { setU16, setU32, u16 } from '../../src/packet/bytes.ts';
import * as ethernet from '../../src/packet/ethernet.ts';
import * as ipv6 from '../../src/packet/ipv6.ts';
import type { Mutation } from './mutation.ts';
import { pick, type Step } from './program.ts';

const IP = ethernet.HEADER;
const PAYLOAD = IP + ipv6.HEADER;
const LENGTHS = [0, 1, 3, 7, 8, 19, 20, 39, 40, 41, 1240, 1241, 0x7fff, 0xffff];
const KINDS = [0, 6, 17, 43, 44, 51, 58, 59, 60, 135, 139, 140, 253, 255, 1, 2, 41];
/** First words of addresses: loopback and the like, groups, link-local, a documentation prefix. */
const PREFIXES = [0, 0xff020000, 0xff010000, 0xfe800000, 0x20010db8, 0xfec00000, 0x0064ff9b];

function put(frame: Uint8Array, at: number, value: number): Uint8Array {
  if (at < frame.length) frame[at] = value;
  return frame;
}

function at16(frame: Uint8Array, at: number, value: number): Uint8Array {
  if (at + 2 <= frame.length) setU16(frame, at, value);
  return frame;
}

/** Source or destination; the words behind the first stay, or are cleared. */
function readdress(frame: Uint8Array, { position, value }: Step): Uint8Array {
  const at = IP + (position & 1 ? 8 : 24);
  if (frame.length < PAYLOAD) return frame;
  if (position & 2) frame.fill(0, at, at + 16);
  setU32(frame, at, pick(PREFIXES, value));
  if (position & 4) setU32(frame, at + 8, 0xffff);
  if (position & 8) frame[at + 15] = value;
  return frame;
}

export const MUTATIONS6: readonly Mutation[] = [
  // Lengths that lie: of the packet, of an extension header, of UDP or of TCP's header.
  (frame, step) => at16(frame, IP + ipv6.AT_PAYLOAD_LENGTH, u16(frame, IP + ipv6.AT_PAYLOAD_LENGTH) + step.value - 128),
  (frame, step) => at16(frame, IP + ipv6.AT_PAYLOAD_LENGTH, pick(LENGTHS, step.value)),
  (frame, step) => put(frame, PAYLOAD + 1, step.value),
  (frame, step) => at16(frame, PAYLOAD + 4, pick(LENGTHS, step.value)),
  (frame, step) => put(frame, PAYLOAD + 12, step.value & 0xf0),
  // Another kind of next header, in the fixed header or the first behind it.
  (frame, step) => put(frame, IP + ipv6.AT_NEXT_HEADER, pick(KINDS, step.value)),
  (frame, step) => put(frame, PAYLOAD, pick(KINDS, step.value)),
  (frame, step) => put(frame, IP + 7, pick([0, 1, 63, 254, 255], step.value)),
  readdress,
  readdress,
  // The first header behind the fixed one, again: as often as fits.
  (frame, step) => {
    if (frame.length < PAYLOAD + 8) return frame;
    const header = frame.slice(PAYLOAD, PAYLOAD + 8);
    header[0] = frame[IP + ipv6.AT_NEXT_HEADER]!;
    const copies = Array.from({ length: 1 + (step.value % 40) }, () => header);
    const longer = Buffer.concat([frame.subarray(0, PAYLOAD), ...copies, frame.subarray(PAYLOAD)]);
    return at16(longer, IP + ipv6.AT_PAYLOAD_LENGTH, longer.length - PAYLOAD);
  },
  // Fields of a fragment header, where there is one.
  (frame, step) => at16(frame, PAYLOAD + 2, step.position),
  (frame, step) => put(frame, IP, step.value),
];
