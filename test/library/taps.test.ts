/** A program looks on at frames. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type FrameDirection, type Port, VirtualNetwork } from '../../src/index.ts';
import { attachGuest, type SoftGuest } from '../../src/testing/index.ts';
import { execute, ROOT, temporaryFolder } from '../guest/process.ts';

const GATEWAY = '192.168.127.1';

interface World extends AsyncDisposable {
  readonly network: VirtualNetwork;
  readonly guests: readonly SoftGuest[];
  readonly ports: readonly Port[];
}

/** Two guests with addresses. */
async function world(): Promise<World> {
  const network = await VirtualNetwork.create();
  const attached = ['5a:94:ef:00:00:01', '5a:94:ef:00:00:02'].map((mac) => attachGuest(network, mac));
  for (const { guest } of attached) await guest.dhcp();
  const guests = attached.map(({ guest }) => guest);
  return { network, guests, ports: attached.map(({ port }) => port), [Symbol.asyncDispose]: () => network.close() };
}

/** Frames of a pcapng file, and their directions: 1 from the VM, 2 to it. */
function frames(file: string): { frame: Buffer; direction: number }[] {
  const bytes = readFileSync(file);
  const found: { frame: Buffer; direction: number }[] = [];
  for (let at = 0; at < bytes.length; at += bytes.readUInt32LE(at + 4)) {
    if (bytes.readUInt32LE(at) !== 6) continue;
    const length = bytes.readUInt32LE(at + 20);
    const options = at + 28 + ((length + 3) & ~3);
    found.push({ frame: bytes.subarray(at + 28, at + 28 + length), direction: bytes.readUInt32LE(options + 4) });
  }
  return found;
}

test('a tap sees the frames of one VM or of all, both ways, and of those that come later, until it ends', async () => {
  await using w = await world();
  const seen: [string, FrameDirection, Port][] = [];
  const only: Buffer[] = [];
  const all = w.network.tap((bytes, at, length, direction, port) => {
    seen.push([Buffer.from(bytes.subarray(at, at + length)).toString('hex', 0, 12), direction, port]);
  });
  const first = w.network.tap((bytes, at, length) => void only.push(Buffer.from(bytes.subarray(at, at + length))), { port: w.ports[0] });
  await w.guests[0]!.ping(GATEWAY);
  const [mac, gateway] = ['5a94ef000001', '5a94efe40cdd'];
  assert.deepEqual(seen.slice(-2), [
    [gateway + mac, 'from-guest', w.ports[0]],
    [mac + gateway, 'to-guest', w.ports[0]],
  ]);
  await w.guests[1]!.ping(GATEWAY);
  assert.ok(seen.some(([, , port]) => port === w.ports[1]));
  const { guest, port } = attachGuest(w.network, '5a:94:ef:00:00:03');
  await guest.dhcp();
  assert.ok(seen.some(([, , which]) => which === port));
  // Among them broadcasts of the others.
  assert.equal(only.length, seen.filter(([, , which]) => which === w.ports[0]).length);
  all[Symbol.dispose]();
  first[Symbol.dispose]();
  const before = [seen.length, only.length];
  await w.guests[0]!.ping(GATEWAY);
  assert.deepEqual([seen.length, only.length, w.ports[0]!.tap], [...before, null]);
});

test('a capture has the frames of its VM, while others look on as well', async () => {
  await using w = await world();
  const folder = temporaryFolder();
  const [one, both] = [join(folder, 'one.pcapng'), join(folder, 'both.pcapng')];
  let looked = 0;
  using _tap = w.network.tap(() => looked++);
  {
    using capture = w.network.capture(one, { port: w.ports[0] });
    using other = w.network.capture(both);
    assert.deepEqual([capture.file, other.error], [one, null]);
    for (const guest of w.guests) await guest.ping(GATEWAY);
  }
  await w.guests[0]!.ping(GATEWAY);
  const captured = frames(one);
  // ICMP echo, and its reply: the ping behind the block is in no file.
  const echoes = captured.filter(({ frame }) => frame[23] === 1).map(({ frame, direction }) => [direction, frame[34]]);
  assert.deepEqual(echoes, [
    [1, 8],
    [2, 0],
  ]);
  const own = Buffer.from('5a94ef000001', 'hex');
  for (const { frame, direction } of captured) {
    // The others' broadcasts are on their way to it.
    assert.ok(
      frame
        .subarray(direction === 1 ? 6 : 0)
        .subarray(0, 6)
        .equals(own) || direction === 2,
    );
  }
  assert.equal(
    captured.filter(({ direction }) => direction === 1).length,
    frames(both).filter(({ frame, direction }) => direction === 1 && frame.subarray(6, 12).equals(own)).length,
  );
  assert.ok(looked > frames(both).length);
});

test('a port of another network, or none any more, is refused, and so is a file that cannot be written', async () => {
  await using w = await world();
  await using other = await VirtualNetwork.create();
  const refused = { code: 'invalid-argument' };
  assert.throws(() => other.tap(() => {}, { port: w.ports[0] }), refused);
  assert.throws(() => other.capture(join(temporaryFolder(), 'x'), { port: w.ports[0] }), refused);
  assert.throws(() => w.network.tap(undefined as unknown as () => void), refused);
  assert.throws(() => w.network.capture('/nowhere/x.pcapng'), { code: 'ENOENT' });
  const gone = attachGuest(w.network, '5a:94:ef:00:00:03').port;
  gone.close();
  assert.throws(() => w.network.tap(() => {}, { port: gone }), refused);
});

test('what a tap throws is its program to see, and frames go on', async () => {
  const library = `${ROOT}build/src`;
  const code = `
    import { VirtualNetwork } from '${library}/index.js';
    import { attachGuest } from '${library}/testing/index.js';
    const network = await VirtualNetwork.create();
    network.tap(() => { throw new Error('oops'); });
    let thrown = 0;
    process.on('uncaughtException', ({ message }) => void (thrown += message === 'oops' ? 1 : 0));
    const { guest } = attachGuest(network, '5a:94:ef:e4:0c:ee');
    console.log((await guest.dhcp()).address, thrown > 0);
    await network.close();`;
  const { status, stdout, stderr } = await execute(process.execPath, ['--input-type=module', '-e', code], 15_000);
  assert.deepEqual([status, stdout, stderr], [0, '192.168.127.2 true\n', '']);
});
