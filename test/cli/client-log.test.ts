import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { ClientLog } from '../../src/cli/client-log.ts';
import { Log } from '../../src/cli/log.ts';
import { GVPROXY, Running, temporaryFolder, until } from '../guest/process.ts';

function world(): { clients: ClientLog; lines: string[]; log: Log; advance: (ms: number) => void } {
  const lines: string[] = [];
  let now = 5000;
  const log = new Log({ isTerminal: false, write: (text) => void lines.push(/level=\w+ msg=.*$/m.exec(text)![0]) });
  return { clients: new ClientLog(log, () => now), lines, log, advance: (ms) => void (now += ms) };
}

test('two hundred lines are written at once, then one a second; the next one says how many there were between', () => {
  const { clients, lines, advance } = world();
  for (let i = 0; i < 500; i++) clients.record('error', `gone ${i}`);
  assert.equal(lines.length, 200);
  assert.equal(lines.at(-1), 'level=error msg="gone 199"');
  advance(1000);
  for (let i = 0; i < 10; i++) clients.record('error', 'gone');
  assert.deepEqual(lines.slice(200), [
    'level=warning msg="300 lines about clients that came and went were left out"',
    'level=error msg=gone',
  ]);
  advance(3_600_000);
  for (let i = 0; i < 500; i++) clients.record('error', 'again');
  assert.equal(lines.length, 202 + 1 + 200);
});

test('lines that the level leaves out count for nothing', () => {
  const { clients, lines, log } = world();
  for (let i = 0; i < 500; i++) clients.record('debug', 'come');
  clients.record('error', 'gone');
  assert.deepEqual(lines, ['level=error msg=gone']);
  log.level = 'debug';
  clients.record('debug', 'come');
  assert.equal(lines.length, 2);
});

test('a client that does nothing but come and go does not fill the log', async () => {
  const folder = temporaryFolder();
  const path = join(folder, 'hk.sock');
  const program = new Running(GVPROXY, ['-ssh-port', '-1', '-listen-vpnkit', `unix://${path}`]);
  await until(() => program.output.includes('listening for VPNKit') || program.child.exitCode !== null, program.output);
  for (let i = 0; i < 300; i++) {
    const socket = connect(path).resume();
    socket.end('x');
    await once(socket, 'close');
  }
  assert.equal(await program.kill('SIGTERM'), 0, program.output);
  const told = program.output.match(/cannot complete the handshake/g)?.length ?? 0;
  // It takes a part of a second, or some on a busy machine.
  assert.ok(told >= 200 && told < 250, String(told));
});

test('a link without connections ends with the program, which is no error', async () => {
  const folder = temporaryFolder();
  const program = new Running(GVPROXY, ['-ssh-port', '-1', '-link', `dgram+unix://${folder}/gw?remote=${folder}/vm`]);
  await until(() => program.output.includes('is open') || program.child.exitCode !== null, program.output);
  assert.equal(await program.kill('SIGTERM'), 0, program.output);
  assert.deepEqual(program.output.match(/level=error.*/g), ['level=error msg="gvproxy exiting: signal caught"']);
});
