/** Has tshark look for what must not be in a capture: malformed packets, bad checksums, retransmissions on a link that loses nothing. */
import assert from 'node:assert/strict';
import { succeed } from './process.ts';

const GATEWAY_MAC = '5a:94:ef:e4:0c:dd';
const CHECKSUMS = ['ip', 'tcp', 'udp'].flatMap((protocol) => ['-o', `${protocol}.check_checksum:TRUE`]);
/** Guests may leave checksums to hardware: only frames of the gateway are judged for them. */
const BAD_CHECKSUM = ['ip', 'tcp', 'udp', 'icmp', 'icmpv6'].map((protocol) => `${protocol}.checksum.status == "Bad"`).join(' || ');
/** Ports that come by chance belong to nobody: without this, tshark takes random bytes on one of them for a protocol it knows. */
const NO_GUESSES = ['tcp', 'udp'].flatMap((protocol) => ['-d', `${protocol}.port==1024-65535,data`]);
const SENT_AGAIN =
  'tcp.analysis.retransmission || tcp.analysis.fast_retransmission || tcp.analysis.out_of_order || tcp.analysis.lost_segment';

/** What is wrong with each frame that has something wrong. */
async function offences(file: string, filter: string): Promise<string[]> {
  // One pass: a capture of a hundred thousand frames takes tshark several seconds.
  const output = await succeed('tshark', ['-r', file, ...CHECKSUMS, ...NO_GUESSES, '-Y', filter], 120_000);
  return output.split('\n').filter(Boolean);
}

/** `lossless`: the link between guest and gateway loses nothing, so nothing is to be sent twice. */
export async function judgeCapture(file: string, options: { lossless: boolean; frames: number }): Promise<void> {
  const count = Number(/Number of packets\s*[:=]\s*(\d+)/.exec(await succeed('capinfos', ['-c', '-M', file]))![1]);
  assert.ok(count >= options.frames, `the capture has ${count} frames, at least ${options.frames} were expected`);
  const ours = [BAD_CHECKSUM, ...(options.lossless ? [SENT_AGAIN] : [])].join(' || ');
  const found = await offences(file, `_ws.malformed || (eth.src == ${GATEWAY_MAC} && (${ours}))`);
  assert.deepEqual(found.slice(0, 20), [], `${found.length} frames are malformed, have a bad checksum or were sent again`);
}
