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

/** Of what was sent again without need, the part at least that is heard of: a guest's own queue may drop the acknowledgments that tell. */
const HEARD_OF = 0.1;
const FROM_GATEWAY = `eth.src == ${GATEWAY_MAC}`;

// One pass each: a capture of a hundred thousand frames takes tshark several seconds.
async function tshark(file: string, filter: string, ...flags: string[]): Promise<string[]> {
  const output = await succeed('tshark', ['-r', file, ...CHECKSUMS, ...NO_GUESSES, '-Y', filter, ...flags], 120_000);
  return output.split('\n').filter(Boolean);
}

/** Bytes that the guest says it has had twice (RFC 2883). */
async function bytesHadTwice(file: string): Promise<number> {
  const edges = ['le', 're'].flatMap((edge) => ['-e', `tcp.options.sack.dsack_${edge}`]);
  const lines = await tshark(file, `!(${FROM_GATEWAY}) && tcp.options.sack.dsack`, '-T', 'fields', ...edges);
  return lines.map((line) => line.split('\t').map(Number)).reduce((sum, [left, right]) => sum + ((right! - left!) >>> 0), 0);
}

/**
 * `lossless`: the link between guest and gateway loses nothing, so nothing is to be sent twice. But a guest that a busy machine lets
 * stand still for longer than a timeout is sent what it has: it says so, which it can't of what was lost.
 */
export async function judgeCapture(file: string, options: { lossless: boolean; frames: number }): Promise<void> {
  const count = Number(/Number of packets\s*[:=]\s*(\d+)/.exec(await succeed('capinfos', ['-c', '-M', file]))![1]);
  assert.ok(count >= options.frames, `the capture has ${count} frames, at least ${options.frames} were expected`);
  const wrong = await tshark(file, `_ws.malformed || (${FROM_GATEWAY} && (${BAD_CHECKSUM}))`);
  assert.deepEqual(wrong.slice(0, 20), [], `${wrong.length} frames are malformed, or have a bad checksum`);
  if (!options.lossless) return;
  const again = await tshark(file, `${FROM_GATEWAY} && (${SENT_AGAIN})`, '-T', 'fields', '-e', 'frame.number', '-e', 'tcp.len');
  if (again.length === 0) return;
  const bytes = again.map((line) => Number(line.split('\t')[1])).reduce((sum, length) => sum + length, 0);
  const twice = await bytesHadTwice(file);
  assert.ok(
    bytes * HEARD_OF <= twice,
    `${again.length} frames with ${bytes} bytes were sent again, from ${again[0]} on; the guest says that it had ${twice} of them`,
  );
}
