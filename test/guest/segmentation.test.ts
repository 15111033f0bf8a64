import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { execute, succeed } from './process.ts';
import { missing } from './requirement.ts';

const PROGRAM = fileURLToPath(new URL('segmentation-program.js', import.meta.url));

test(
  'super frames are cut exactly as this machine’s kernel cuts them',
  { skip: missing('root', 'tun', 'ip'), timeout: 60_000 },
  async () => {
    const name = `gwcut-${process.pid}`;
    const ip = (command: string): Promise<string> => succeed('ip', ['-n', name, ...command.split(' ')]);
    await succeed('ip', ['netns', 'add', name]);
    try {
      await ip('link add br0 type bridge mcast_snooping 0');
      await ip('tuntap add dev from0 mode tap vnet_hdr');
      await ip('tuntap add dev to0 mode tap');
      for (const device of ['from0', 'to0']) await ip(`link set ${device} master br0 txqueuelen 5000 mtu 9200 addrgenmode none up`);
      await ip('link set br0 mtu 9200 addrgenmode none up');
      const { status, stdout, stderr } = await execute('ip', ['netns', 'exec', name, process.execPath, PROGRAM], 50_000);
      assert.equal(status, 0, stdout + stderr);
      assert.ok(Number(/^(\d+) segments are the same$/m.exec(stdout)?.[1]) > 1000, stdout);
    } finally {
      await execute('ip', ['netns', 'del', name]);
    }
  },
);
