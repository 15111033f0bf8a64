import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { CaptureBlocks } from '../../../src/cli/commands/capture-blocks.ts';
import { fileHeader, writePacketBlock, writeStatisticsBlock } from '../../../src/packet/pcapng.ts';
import { attachGuest, type SoftGuest } from '../../../src/testing/index.ts';
import { execute, ROOT, Running, succeed, temporaryFolder, until } from '../../guest/process.ts';
import { missing } from '../../guest/requirement.ts';
import { createWorld, type World } from './world.ts';

const PROGRAM = join(ROOT, 'bin/guestwire');
const tshark = missing('tshark');

async function worldWithGuests(t: TestContext): Promise<World & { guests: SoftGuest[] }> {
  const world = await createWorld(t);
  const guests = ['5a:94:ef:e4:0c:ee', '5a:94:ef:00:00:02'].map((mac) => attachGuest(world.network, mac).guest);
  for (const guest of guests) await guest.dhcp();
  return { ...world, guests };
}

/** Has `guest` make frames until `done`. */
async function busy(guest: SoftGuest, done: Promise<unknown>): Promise<void> {
  const over = done.then(
    () => true,
    () => true,
  );
  while (!(await Promise.race([over, guest.resolve('gateway.containers.internal').then(() => false)])));
}

test('capture writes as many frames as it is told, of the VM that it is told', { skip: tshark }, async (t) => {
  const { guestwire, guests } = await worldWithGuests(t);
  for (const [vm, i] of [
    ['5A:94:EF:E4:0C:EE', 0],
    ['192.168.127.3', 1],
  ] as const) {
    const file = join(temporaryFolder(), 'vm.pcapng');
    const captured = guestwire(`capture -o ${file} -c 7 --vm ${vm}`);
    await Promise.all([busy(guests[0]!, captured), busy(guests[1]!, captured)]);
    const { status, stderr } = await captured;
    assert.deepEqual([status, stderr], [0, `guestwire capture: writing the frames of ${vm}; Ctrl-C ends\nguestwire capture: 7 frames\n`]);
    const lines = await succeed('tshark', ['-r', file, '-T', 'fields', '-e', 'ip.addr', '-e', 'dns.qry.name']);
    const own = `192.168.127.${2 + i}`;
    assert.equal(lines.trimEnd().split('\n').length, 7);
    assert.ok(
      lines
        .trimEnd()
        .split('\n')
        .every((line) => line.includes(own) && line.includes('gateway.containers.internal')),
      lines,
    );
  }
});

test('Ctrl-C ends a capture between frames; a pipe gets the frames while they come', { skip: tshark }, async (t) => {
  const { url, guests } = await worldWithGuests(t);
  const running = new Running(PROGRAM, ['capture', '--connect', url], { binary: true });
  let piped = Buffer.alloc(0);
  running.child.stdout!.on('data', (chunk: Buffer) => void (piped = Buffer.concat([piped, chunk])));
  await until(() => running.output.includes('Ctrl-C ends'), 'the capture to begin');
  for (let i = 0; i < 5; i++) await guests[0]!.resolve('gateway.containers.internal');
  const framesIn = (bytes: Uint8Array): number => {
    const blocks = new CaptureBlocks();
    blocks.take(bytes);
    return blocks.frames;
  };
  await until(() => framesIn(piped) >= 10, 'frames in the pipe');
  assert.equal(await running.kill('SIGINT'), 0, running.output);
  // Beside the names that were asked for: ARP.
  const frames = framesIn(piped);
  assert.ok(running.output.endsWith(`guestwire capture: ${frames} frames\n`), `${frames}: ${running.output}`);
  const file = join(temporaryFolder(), 'pipe.pcapng');
  writeFileSync(file, piped);
  assert.equal((await succeed('tshark', ['-r', file])).trimEnd().split('\n').length, frames);
});

test('a capture ends when its reader has seen enough, when the network goes, and not with a stack', async (t) => {
  const { url, guests, network } = await worldWithGuests(t);
  const reader = execute('bash', ['-o', 'pipefail', '-c', `${PROGRAM} capture --connect ${url} | head -c 4 | od -An -tx1`]);
  await busy(guests[0]!, reader);
  const { status, stdout, stderr } = await reader;
  assert.deepEqual([status, stdout.trim()], [0, '0a 0d 0d 0a'], stderr);
  const running = new Running(PROGRAM, ['capture', '--connect', url, '-o', join(temporaryFolder(), 'x.pcapng')]);
  await until(() => running.output.includes('Ctrl-C ends'), 'the capture to begin');
  await network.close();
  assert.equal(await running.ended, 0, running.output);
  assert.match(running.output, /guestwire capture: \d+ frames\n$/);
});

test('what can not be captured is told', async (t) => {
  const { guestwire } = await createWorld(t);
  for (const [line, status, text] of [
    ['capture --vm web', 1, 'there is no VM "web" (guestwire ports lists them)'],
    ['capture -o /nonexistent/x.pcapng', 1, 'open /nonexistent/x.pcapng: no such file or directory'],
    ['capture -c 0', 2, '"0" is no number of frames'],
  ] as const) {
    const called = await guestwire(line);
    assert.deepEqual([called.status, called.stderr.split('\n')[0]], [status, `guestwire capture: ${text}`]);
  }
  assert.match((await guestwire('capture', { terminal: true })).stderr, /frames are no text for a terminal/);
});

test('blocks are kept whole however the bytes come, and what was lost is read from the statistics', () => {
  const bytes = new Uint8Array(2000);
  const view = new DataView(bytes.buffer);
  bytes.set(fileHeader('guestwire'));
  let end = fileHeader('guestwire').length;
  for (let i = 0; i < 3; i++) end += writePacketBlock(bytes, view, end, new Uint8Array(100), 0, 61 + i, 1, 0);
  const packets = end;
  end += writeStatisticsBlock(view, end, 8, 2 ** 32 + 5, 0);
  const blocks = new CaptureBlocks();
  const parts: Uint8Array[] = [];
  for (let at = 0; at < end; at++) parts.push(blocks.take(bytes.slice(at, at + 1)));
  assert.deepEqual([Buffer.concat(parts).compare(bytes.subarray(0, end)), blocks.frames, blocks.lost], [0, 3, 2 ** 32 + 5]);
  const limited = new CaptureBlocks();
  assert.ok(limited.take(bytes.subarray(0, end), 2).length < packets);
  assert.equal(limited.frames, 2);
  assert.throws(() => new CaptureBlocks().take(Buffer.from('HTTP/1.1 404 Not Found')), /no capture/);
});
