import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { execute, Running, succeed, until } from './process.ts';
import { missing } from './requirement.ts';

const PROGRAM = fileURLToPath(new URL('full-queue-program.js', import.meta.url));

test(
  'a device without room for a packet fails datagrams, and makes streams wait until there is some',
  { skip: missing('root', 'ip', 'tc'), timeout: 30_000 },
  async () => {
    const name = `gwfull-${process.pid}`;
    const ip = (...args: string[]): Promise<string> => succeed('ip', ['-n', name, ...args]);
    await succeed('ip', ['netns', 'add', name]);
    try {
      await ip('link', 'add', 'out0', 'type', 'veth', 'peer', 'name', 'in0');
      await ip('link', 'set', 'in0', 'up');
      await ip('addr', 'add', '10.78.1.1/24', 'dev', 'out0');
      await ip('link', 'set', 'out0', 'up');
      await ip('neigh', 'add', '10.78.1.2', 'lladdr', '02:00:00:00:00:01', 'dev', 'out0');
      // No packet has one byte or less.
      await succeed('tc', ['-n', name, 'qdisc', 'replace', 'dev', 'out0', 'root', 'bfifo', 'limit', '1']);
      const program = new Running('ip', ['netns', 'exec', name, process.execPath, PROGRAM, '10.78.1.2']);
      await until(() => program.output.includes('full') || program.child.exitCode !== null, `the queue to be full:\n${program.output}`);
      await succeed('tc', ['-n', name, 'qdisc', 'del', 'dev', 'out0', 'root']);
      program.child.stdin!.write('go\n');
      assert.equal(await program.ended, 0, program.output);
    } finally {
      await execute('ip', ['netns', 'del', name]);
    }
  },
);
