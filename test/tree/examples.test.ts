/** The programs of `examples/` run as they stand; the one that boots QEMU is in test/guest. */
import assert from 'node:assert/strict';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { execute, ROOT, temporaryFolder } from '../guest/process.ts';

const FILE = join(temporaryFolder(), 'one-vm.pcapng');

/** Arguments of each, and what it prints. */
const EXAMPLES: Record<string, { args?: string[]; prints: RegExp }> = {
  'capture-one-vm': { args: [FILE], prints: /^(\d+) frames in .*one-vm\.pcapng\n$/ },
  'http-client': { prints: /^well: hello, api\.example\.com.*\nrefused once: hello at last\n$/ },
  'redirect-name': { prints: /^payments\.example\.com: mocked \/pay\nwww\.example\.com: the real thing\n$/ },
  'ssh-without-port': { prints: /^uname in the guest\n$/ },
  'two-networks': { prints: /^192\.168\.127\.2 in the office, 192\.168\.127\.2 in the lab\njoined: robot here\n$/ },
};

test('each example has its test', () => {
  const names = readdirSync(join(ROOT, 'examples')).map((name) => name.replace(/\.ts$/, ''));
  assert.deepEqual(names.toSorted(), [...Object.keys(EXAMPLES), 'boot-qemu'].toSorted());
});

for (const [name, { args = [], prints }] of Object.entries(EXAMPLES)) {
  test(`the example ${name} does what it says, and ends`, async () => {
    const { status, stdout, stderr } = await execute(process.execPath, [join(ROOT, 'build/examples', `${name}.js`), ...args], 20_000);
    assert.deepEqual([status, stderr], [0, '']);
    assert.match(stdout, prints);
  });
}

test('the capture of one VM is not empty', () => {
  assert.ok(statSync(FILE).size > 1000);
});
