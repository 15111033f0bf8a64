/** How what a network opens is given up while it is waited for, and goes when its block ends. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { test } from 'node:test';
import { VirtualNetwork } from '../../src/index.ts';
import { abortable } from '../../src/runtime/abortable.ts';
import { attachGuest } from '../../src/testing/index.ts';
import { temporaryFolder } from '../guest/process.ts';

const MAC = '5a:94:ef:e4:0c:ee';
const REASON = new Error('changed my mind');

/** A signal that aborts as soon as who waits for it has begun to wait. */
function soon(): AbortSignal {
  const controller = new AbortController();
  queueMicrotask(() => controller.abort(REASON));
  return controller.signal;
}

test('a network and what it opens go at the end of their block', async () => {
  const path = join(temporaryFolder(), 'vm.sock');
  let seen: VirtualNetwork;
  {
    await using network = await VirtualNetwork.create();
    seen = network;
    {
      using link = await network.attach(`qemu+unix://${path}`);
      assert.equal(link.address, `unix://${path}`);
      assert.equal(existsSync(path), true);
    }
    assert.equal(existsSync(path), false);
    let port = 0;
    {
      using forward = network.forward('127.0.0.1:0', '192.168.127.2:80');
      port = forward.port;
      using other = await network.forwards.expose({ protocol: 'udp', local: '127.0.0.1:0', remote: '192.168.127.2:53' });
      assert.deepEqual(new Set(network.forwards.list()), new Set([forward, other]));
    }
    assert.deepEqual(network.forwards.list(), []);
    const [error] = (await once(connect(port, '127.0.0.1'), 'error')) as [NodeJS.ErrnoException];
    assert.equal(error.code, 'ECONNREFUSED');
    {
      using port = network.attachMemory('guest', () => {});
      assert.deepEqual(network.ports, [port]);
    }
    assert.deepEqual(network.ports, []);
  }
  assert.throws(() => seen.attachMemory('late', () => {}), { code: 'network-closed' });
});

test('what is given up beforehand is not begun', async () => {
  const signal = AbortSignal.abort(REASON);
  await assert.rejects(VirtualNetwork.create({ forwards: { '127.0.0.1:0': '192.168.127.2:22' } }, { signal }), REASON);
  const path = join(temporaryFolder(), 'vm.sock');
  await using network = await VirtualNetwork.create();
  await assert.rejects(network.attach(`qemu+unix://${path}`, { signal }), REASON);
  await assert.rejects(network.listenQemu(`unix://${path}`, { signal }), REASON);
  assert.equal(existsSync(path), false);
  const request = { protocol: 'tcp', local: 'localhost:0', remote: '192.168.127.2:22' };
  await assert.rejects(network.forwards.expose(request, { signal }), REASON);
  assert.deepEqual(network.forwards.list(), []);
});

test('what is given up while it is waited for leaves nothing behind', async () => {
  await assert.rejects(VirtualNetwork.create({ forwards: { 'localhost:0': '192.168.127.2:22' } }, { signal: soon() }), REASON);
  const path = join(temporaryFolder(), 'vm.sock');
  await using network = await VirtualNetwork.create();
  const { guest } = attachGuest(network, MAC);
  await guest.dhcp();
  await assert.rejects(
    network.forwards.expose({ protocol: 'tcp', local: 'localhost:0', remote: '192.168.127.2:22' }, { signal: soon() }),
    REASON,
  );
  await assert.rejects(network.attach(`qemu+unix://${path}`, { signal: soon() }), REASON);
  // A dial to nobody: ARP is under way.
  await assert.rejects(network.dial('192.168.127.9', 80, { signal: soon() }), REASON);
  // One to a guest: the SYN is.
  guest.listen(80, () => {});
  await assert.rejects(network.dial('192.168.127.2', 80, { signal: soon() }), REASON);
  // Resolvers and sockets that came too late have been closed when what began after them is done.
  using forward = await network.forwards.expose({ protocol: 'tcp', local: 'localhost:0', remote: '192.168.127.2:22' });
  assert.deepEqual(network.forwards.list(), [forward]);
  using link = await network.attach(`qemu+unix://${path}`);
  assert.equal(existsSync(path), true);
  assert.equal(link.refused, 0);
  assert.equal(network.flows.size.tcp, 0);
});

test("a signal that aborts late is nobody's business any more", async () => {
  const controller = new AbortController();
  await using network = await VirtualNetwork.create({}, { signal: controller.signal });
  const { guest } = attachGuest(network, MAC);
  await guest.dhcp();
  // It hears of the network's end, its own socket being open for reading.
  guest.listen(80, (socket) => socket.on('error', () => {}).end(Buffer.from('still here')));
  const stream = await network.dial('192.168.127.2', 80, { signal: controller.signal });
  controller.abort(REASON);
  stream.end();
  let text = '';
  for await (const chunk of stream) text += String(chunk);
  assert.equal(text, 'still here');
});

test('what comes too late is undone, once, and a failure is told before an abort', async () => {
  const undone: string[] = [];
  const undo = (late: string): void => void undone.push(late);
  let deliver = (_value: string): void => {};
  const late = new Promise<string>((resolve) => (deliver = resolve));
  await assert.rejects(abortable(late, soon(), undo), REASON);
  assert.deepEqual(undone, []);
  deliver('late');
  await late;
  assert.deepEqual(undone, ['late']);
  assert.equal(await abortable(Promise.resolve('in time'), new AbortController().signal, undo), 'in time');
  await assert.rejects(abortable(Promise.reject<string>(new Error('its own')), new AbortController().signal, undo), { message: 'its own' });
  assert.deepEqual(undone, ['late']);
});
