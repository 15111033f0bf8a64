/**
 * Boots a QEMU guest from a script, waits until it is online, talks to its web server, and ends it: no root, no port of this machine.
 *
 *     node boot-qemu.js qemu-system-x86_64 -m 512 -drive file=disk.qcow2 -nographic
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { VirtualNetwork } from 'guestwire';

const MAC = '5a:94:ef:e4:0c:ee';
const [command = 'qemu-system-x86_64', ...args] = process.argv.slice(2);
const folder = await mkdtemp(join(tmpdir(), 'guest-'));
const socket = join(folder, 'vm.sock');

await using network = await VirtualNetwork.create();
await network.listenQemu(`unix://${socket}`);
const wire = [
  '-netdev',
  `stream,id=n0,server=off,addr.type=unix,addr.path=${socket}`,
  '-device',
  `virtio-net-pci,netdev=n0,mac=${MAC},romfile=`,
];
const qemu = spawn(command, [...args, ...wire], { stdio: 'inherit' });
const ended = once(qemu, 'exit');

const [address] = await Promise.race([
  once(network, 'lease'),
  ended.then(([status]) => Promise.reject(new Error(`QEMU has ended: ${status}`))),
]);
console.log(`the guest has ${address}`);
console.log(`its web server says: ${await page(String(address))}`);
qemu.kill();
await ended;
await rm(folder, { recursive: true });

/** The front page of the guest's web server, as soon as there is one. */
async function page(host: string): Promise<string> {
  for (;;) {
    try {
      const stream = await network.dial(host, 80);
      const request = get({ host, createConnection: () => stream, headers: { connection: 'close' } });
      const [response] = await once(request, 'response');
      let body = '';
      for await (const chunk of response) body += String(chunk);
      // The guest may be ended next, and would reset what is open.
      stream.destroy();
      return body.trim();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ECONNREFUSED') throw error;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
}
