/** Commands of pages that need a machine's devices: in a network namespace, as root. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { commandLines, snippet } from '../tree/snippets.ts';
import { execute, GVPROXY, Running, temporaryFolder, until } from './process.ts';
import { missing } from './requirement.ts';

test(
  'the page on links makes a TAP interface, and puts the host or a bridge behind it',
  {
    skip: missing('root', 'tun', 'ip', 'unshare', 'nsenter'),
  },
  async () => {
    const [start] = commandLines(snippet('docs/links.md', 'gvproxy -link'));
    const command = start!.replace('/tmp/', `${temporaryFolder()}/`).replace('gvproxy', `${GVPROXY} -ssh-port -1`);
    const gvproxy = new Running('unshare', ['--net', 'bash', '-c', `exec ${command}`]);
    await until(() => gvproxy.output.includes('link tap:tap0 is open') || gvproxy.child.exitCode !== null, gvproxy.output);
    const inside = async (line: string): Promise<string> => {
      const { status, stdout, stderr } = await execute('nsenter', ['--net', '--target', String(gvproxy.child.pid), 'bash', '-c', line]);
      assert.deepEqual([status, stderr], [0, ''], line);
      return stdout;
    };
    await inside('ip link add br0 type bridge');
    const lines = commandLines(snippet('docs/links.md', 'ip link set tap0 up'));
    for (const line of lines) await inside(line);
    assert.match(await inside('ip -o link show tap0'), /[<,]UP[,>].* master br0 /);
    assert.match(await inside('ip -o addr show tap0'), / 192\.168\.127\.100\/24 /);
    assert.equal(await gvproxy.kill('SIGTERM'), 0, gvproxy.output);
  },
);
