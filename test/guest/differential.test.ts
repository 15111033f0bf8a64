/** The same scripts against the kernel's TCP and against guestwire: what differs is listed in test/differential/README.md, and nothing else does. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { converse } from '../differential/conversation.ts';
import { difference, listedDifferences } from '../differential/differences.ts';
import { ENDINGS } from '../differential/ending-scripts.ts';
import { GuestwireWorld } from '../differential/guestwire-world.ts';
import { HANDSHAKES } from '../differential/handshake-scripts.ts';
import { KernelWorld } from '../differential/kernel-world.ts';
import { RawGuest } from '../differential/raw-guest.ts';
import type { Script } from '../differential/script.ts';
import { STREAMS } from '../differential/stream-scripts.ts';
import type { World } from '../differential/world.ts';
import { delay } from './process.ts';
import { missing } from './requirement.ts';

const skip = missing('root', 'tun', 'ip', 'python3');
/** Milliseconds between the beginnings of two scripts. */
const STAGGER = 15;

/** What the first script must bring, whoever answers. */
const OPENING: readonly string[] = [
  'guest {flags:S,mss:1460,scale:7,sackPermitted:true}',
  '  SYN,ACK 0 ack 1 <mss 1460, scale, sack permitted>',
  'guest {}',
  'guest {data:1,flags:PA}',
  '  ACK 1 ack 2',
  'host read 10 → 1 bytes',
  'host write 1 → all',
  '  ACK 1 + 1 bytes ack 2',
  'guest {}',
];

const scripts: readonly Script[] = [...HANDSHAKES, ...STREAMS, ...ENDINGS];

/** All scripts side by side, each on ports of its own. */
async function traces(world: World, scripts: readonly Script[]): Promise<Map<string, string[]>> {
  const guest = new RawGuest(world);
  const results = await Promise.all(
    scripts.map(async (script, i) => {
      await delay(i * STAGGER);
      return [script.name, await converse(guest, script)] as const;
    }),
  );
  return new Map(results);
}

function bySettings(scripts: readonly Script[]): Map<string, Script[]> {
  const groups = new Map<string, Script[]>();
  for (const script of scripts) {
    const key = JSON.stringify(script.sysctl ?? {});
    groups.set(key, [...(groups.get(key) ?? []), script]);
  }
  return groups;
}

test('guestwire answers each script as the kernel does, or as the list of differences says', { skip, timeout: 120_000 }, async (t) => {
  const worlds: World[] = [];
  // Also when it fails: what is left open would keep the process alive.
  t.after(async () => {
    for (const world of worlds) await world.close();
  });
  const runs: Promise<Map<string, string[]>>[] = [];
  for (const [settings, group] of bySettings(scripts)) {
    const world = await KernelWorld.create(JSON.parse(settings) as Record<string, string>);
    worlds.push(world);
    runs.push(traces(world, group));
  }
  const ours = await GuestwireWorld.create();
  worlds.push(ours);
  const [guestwire, ...kernels] = await Promise.all([traces(ours, scripts), ...runs]);
  const kernel = new Map(kernels.flatMap((group) => [...group]));
  // Two recorders that record nothing would agree.
  assert.deepEqual(kernel.get('opens and sends one byte each way'), OPENING);
  const listed = listedDifferences();
  for (const { name } of scripts) {
    const found = difference(kernel.get(name)!, guestwire.get(name)!);
    await t.test(name, () => {
      assert.equal(
        found,
        listed.get(name) ?? '',
        `kernel:\n${kernel.get(name)!.join('\n')}\nguestwire:\n${guestwire.get(name)!.join('\n')}`,
      );
    });
    listed.delete(name);
  }
  assert.deepEqual([...listed.keys()], [], 'differences of scripts that there are not');
});
