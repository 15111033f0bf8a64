import assert from 'node:assert/strict';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { once } from 'node:events';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Running, until } from '../guest/process.ts';

const PROGRAM = fileURLToPath(new URL('exhausted-program.js', import.meta.url));

test('a process out of descriptors says so, waits without spinning, and loses no connection that waited', { timeout: 20_000 }, async () => {
  const server = createServer((socket) => void socket.on('error', () => {}).resume()).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const program = new Running('sh', ['-c', 'ulimit -n 60; exec "$0" "$@"', process.execPath, PROGRAM, `${port}`]);
  const clients: Socket[] = [];
  try {
    await until(() => program.output.includes('\n') || program.child.exitCode !== null, `the ports:\n${program.output}`);
    const [listenerPort, vmPort] = program.output.trim().split(' ').map(Number);
    for (const to of [listenerPort, listenerPort, listenerPort, listenerPort, listenerPort, vmPort]) {
      const client = connect(to!, '127.0.0.1');
      client.on('error', () => {});
      clients.push(client);
    }
    await Promise.all(clients.map((client) => once(client, 'connect')));
    program.child.stdin!.write('go\n');
    assert.equal(await program.ended, 0, program.output);
    const [, cpu] = /cpu ([\d.]+) %/.exec(program.output)!;
    // A loop that spins takes all of it.
    assert.ok(Number(cpu) < 50, `${cpu} % of a CPU`);
  } finally {
    for (const client of clients) client.destroy();
    server.close();
    await program.kill();
  }
});
