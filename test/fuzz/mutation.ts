/** What is done to a well-formed frame before it is sent: half of all steps leave it as it is. */
import { setU16, setU32, u16 } from '../../src/packet/bytes.ts';
import * as ethernet from '../../src/packet/ethernet.ts';
import { MUTATIONS6 } from './mutation6.ts';
import { pick, type Step } from './program.ts';

const WORDS = [0, 1, 3, 7, 8, 19, 20, 27, 28, 0x7f, 0x80, 0xff, 0x100, 536, 1460, 1500, 0x1fff, 0x2000, 0x3fff, 0x7fff, 0x8000, 0xffff];
const IP = ethernet.HEADER;

export type Mutation = (frame: Uint8Array, step: Step, previous: Uint8Array) => Uint8Array;

/** An offset in the frame; the headers are likelier than what follows. */
function place(frame: Uint8Array, { position }: Step): number {
  return position & 1 ? (position >>> 1) % Math.min(frame.length, 80) : (position >>> 1) % frame.length;
}

function at16(frame: Uint8Array, at: number, value: number): Uint8Array {
  if (at + 2 <= frame.length) setU16(frame, at, value);
  return frame;
}

/** Offset of the transport header, as the frame has it. */
function transport(frame: Uint8Array): number {
  return IP + (frame[IP]! & 15) * 4;
}

const MUTATIONS: readonly Mutation[] = [
  (frame, step) => {
    frame[place(frame, step)]! ^= 1 << (step.value & 7);
    return frame;
  },
  (frame, step) => {
    frame[place(frame, step)] = step.value;
    return frame;
  },
  (frame, step) => at16(frame, place(frame, step), pick(WORDS, step.value)),
  (frame, step) => {
    const at = place(frame, step);
    if (at + 4 <= frame.length) setU32(frame, at, step.value & 1 ? 0x7fffffff + (step.value & 2) : -step.value);
    return frame;
  },
  (frame, step) => frame.slice(0, place(frame, step)),
  (frame, step) => Buffer.concat([frame, new Uint8Array(1 + (step.position % 600)).fill(step.value)]),
  // Lengths that lie: of the packet, of its header, of the transport's.
  (frame, step) => at16(frame, IP + 2, u16(frame, IP + 2) + step.value - 128),
  (frame, step) => at16(frame, IP + 2, pick(WORDS, step.value)),
  (frame, step) => {
    frame[IP] = 0x40 | (step.value & 15);
    return frame;
  },
  (frame, step) => {
    const at = transport(frame) + 12;
    if (at < frame.length) frame[at] = step.value & 0xf0;
    return frame;
  },
  (frame, step) => at16(frame, transport(frame) + 4, pick(WORDS, step.value)),
  // Urgent pointer and flags.
  (frame, step) => {
    const at = transport(frame) + 13;
    if (at < frame.length) frame[at]! |= 0x20;
    return at16(frame, transport(frame) + 18, pick(WORDS, step.value));
  },
  // Fragment fields.
  (frame, step) => at16(frame, IP + 6, ((step.value & 7) << 13) | (step.position & 0x1fff)),
  // The head of this frame, the tail of the one before.
  (frame, step, previous) => {
    const at = place(frame, step);
    return Buffer.concat([frame.subarray(0, at), previous.subarray(Math.min(at, previous.length))]);
  },
  // A stretch of it twice.
  (frame, step) => {
    const at = place(frame, step);
    const end = Math.min(at + 1 + step.value, frame.length);
    return Buffer.concat([frame.subarray(0, end), frame.subarray(at)]);
  },
  // Ethernet: type, source or destination.
  (frame, step) => at16(frame, pick([12, 12, 0, 4, 6, 10], step.position), pick([0x0800, 0x0806, 0x86dd, 0x8100, 0xffff, 0], step.value)),
];

/** Those of MUTATIONS that know nothing of IPv4's header, and IPv6's own. */
const EITHER6: readonly Mutation[] = [...MUTATIONS.slice(0, 6), ...MUTATIONS.slice(-3), ...MUTATIONS6];

export function isMutated(step: Step): boolean {
  return step.mutation >= 128;
}

/** The frame as it is sent. */
export function mutate(frame: Uint8Array, step: Step, previous: Uint8Array): Uint8Array {
  if (!isMutated(step) || frame.length < IP + 20) return frame;
  const all = ethernet.type(frame, 0) === ethernet.TYPE_IPV6 ? EITHER6 : MUTATIONS;
  const changed = pick(all, step.mutation - 128)(frame, step, previous);
  return changed.length > 131_072 ? changed.subarray(0, 131_072) : changed;
}
