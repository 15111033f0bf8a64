/** A frame as a line of text, for looking at a program that fails: `TRACE=1` prints what the link delivers. */
import { decode, names } from '../bench.ts';
import type { VirtualTime } from './virtual-time.ts';

const TRACING = process.env['TRACE'] === '1';

export function trace(time: VirtualTime, direction: string, frame: Uint8Array): void {
  if (!TRACING) return;
  const { seq, ack, flags, window, data, options, fromPort, toPort } = decode(Buffer.from(frame));
  const sacks = Array.from({ length: options.sackCount }, (_, i) => `${options.sackLeft[i]! >>> 0}-${options.sackRight[i]! >>> 0}`);
  const numbers = `seq ${seq >>> 0} ack ${ack >>> 0} win ${window} len ${data.length}`;
  console.log(`${time.now.toFixed(3)} ${direction} ${fromPort}>${toPort} ${names(flags)} ${numbers} ${sacks.join(' ')}`);
}
