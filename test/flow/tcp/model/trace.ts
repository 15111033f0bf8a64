/** A frame as a line of text, for looking at a program that fails: `TRACE=1` prints what the link delivers. */
import * as tcp from '../../../../src/packet/tcp.ts';
import { TcpOptions } from '../../../../src/packet/tcp-options.ts';
import { names } from '../bench.ts';
import { versionOfFrame } from './version.ts';
import type { VirtualTime } from './virtual-time.ts';

const TRACING = process.env['TRACE'] === '1';

export function trace(time: VirtualTime, direction: string, frame: Uint8Array): void {
  if (!TRACING) return;
  const at = versionOfFrame(frame).headers;
  const data = at + tcp.headerLength(frame, at);
  const options = new TcpOptions();
  options.read(frame, at + tcp.HEADER, data);
  const sacks = Array.from({ length: options.sackCount }, (_, i) => `${options.sackLeft[i]! >>> 0}-${options.sackRight[i]! >>> 0}`);
  const [seq, ack] = [tcp.sequence(frame, at) >>> 0, tcp.acknowledgment(frame, at) >>> 0];
  const numbers = `seq ${seq} ack ${ack} win ${tcp.window(frame, at)} len ${frame.length - data}`;
  const ports = `${tcp.sourcePort(frame, at)}>${tcp.destinationPort(frame, at)}`;
  console.log(`${time.now.toFixed(3)} ${direction} ${ports} ${names(tcp.flags(frame, at))} ${numbers} ${sacks.join(' ')}`);
}
