import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, existsSync, openSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { commandLineNetwork, ConfigError, VirtualNetwork } from '../src/index.ts';
import { attachGuest } from '../src/testing/index.ts';
import { execute, ROOT, temporaryFolder } from './guest/process.ts';

const MAC = '5a:94:ef:e4:0c:ee';
const CLOSED = { message: 'the network is closed' };

/** Runs a module that may use VirtualNetwork; it must end by itself. */
async function runScript(code: string): Promise<{ status: number | null; stdout: string; stderr: string }> {
  const library = pathToFileURL(join(ROOT, 'build/src/index.js')).href;
  return execute(process.execPath, ['--input-type=module', '-e', `import { VirtualNetwork } from '${library}';\n${code}`], 15_000);
}

/** Whether somebody listens on a port of the loopback. */
async function isListening(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  const answer = await Promise.race([once(socket, 'connect').then(() => true), once(socket, 'error').then(() => false)]).catch(() => false);
  socket.destroy();
  return answer;
}

/** A port of the loopback that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

test('needs no options: a guest gets online with the defaults', async () => {
  const network = await VirtualNetwork.create();
  const { guest } = attachGuest(network, MAC);
  const { address, mask, router, nameserver } = await guest.dhcp();
  assert.deepEqual([address, mask, router, nameserver], ['192.168.127.2', '255.255.255.0', '192.168.127.1', '192.168.127.1']);
  assert.equal(guest.address, '192.168.127.2');
  assert.deepEqual(network.addresses, {
    subnet: '192.168.127.0/24',
    gatewayIP: '192.168.127.1',
    deviceIP: '192.168.127.2',
    hostIP: '192.168.127.254',
  });
  assert.deepEqual(await guest.resolve('host.containers.internal'), ['192.168.127.254']);
  await guest.ping('192.168.127.1');
  await network.close();
});

test('follows the subnet in everything that is left out', async () => {
  const network = await VirtualNetwork.create({ subnet: '10.0.0.5/24' });
  assert.equal(network.addresses.subnet, '10.0.0.0/24');
  const { guest } = attachGuest(network, MAC);
  await guest.dhcp();
  assert.equal(network.leases.get('10.0.0.2'), MAC);
  assert.deepEqual(await guest.resolve('host.docker.internal'), ['10.0.0.254']);
  await network.close();
});

test("the command line's network needs no options either", async () => {
  const network = await VirtualNetwork.create(commandLineNetwork({ sshPort: -1 }));
  assert.equal(network.addresses.deviceIP, '192.168.127.2');
  await network.close();
});

test('a create that fails leaves the process free to end, no descriptor and no port', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const busy = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const free = `127.0.0.1:${await freePort()}`;
  const { status, stdout, stderr } = await runScript(`
    import { readdirSync } from 'node:fs';
    import { connect } from 'node:net';
    import { setTimeout } from 'node:timers/promises';
    const fails = async (options) => {
      try {
        await VirtualNetwork.create(options);
        console.log('created');
      } catch (error) {
        return error.message;
      }
    };
    const descriptors = async () => {
      await setTimeout(50);
      return readdirSync('/proc/self/fd').length;
    };
    const target = '192.168.127.2:22';
    const failures = [
      { forwards: { '${free}': target, '${busy}': target } },
      { forwards: { '${free}': target }, captureFile: '/nonexistent/capture' },
      { mtu: NaN },
    ];
    // What stays open for good, once: libraries, the standard output.
    for (const options of failures) await fails(options);
    console.log('ready');
    const before = await descriptors();
    for (const options of failures) console.log(await fails(options));
    console.log(await descriptors() - before);
    connect(${free.split(':')[1]}, '127.0.0.1').on('connect', () => console.log('bound')).on('error', ({ code }) => console.log(code));
  `);
  server.close();
  assert.equal(status, 0, `${stdout}${stderr}`);
  assert.deepEqual(stdout.trim().split('\n'), [
    'ready',
    `bind EADDRINUSE ${busy}: address already in use`,
    "ENOENT: no such file or directory, open '/nonexistent/capture'",
    "mtu can't be NaN: want a whole number from 68 to 65535",
    '0',
    'ECONNREFUSED',
  ]);
});

test('a forward that fails at the start leaves an older capture alone', async () => {
  const captureFile = join(temporaryFolder(), 'capture.pcapng');
  writeFileSync(captureFile, 'precious');
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const local = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  await assert.rejects(VirtualNetwork.create({ captureFile, forwards: { [local]: '192.168.127.2:22' } }), { code: 'EADDRINUSE' });
  server.close();
  assert.equal(readFileSync(captureFile, 'utf8'), 'precious');
});

test('is closed for good: what comes later throws and opens nothing', async () => {
  const folder = temporaryFolder();
  const network = await VirtualNetwork.create({ captureFile: join(folder, 'capture.pcapng') });
  await network.listenQemu(`unix://${folder}/vm.sock`);
  const port = network.forward('127.0.0.1:0', '192.168.127.2:22').port;
  await Promise.all([network.close(), network.close()]);
  await network.close();
  const descriptors = (): number => readdirSync('/proc/self/fd').length;
  const before = descriptors();
  await assert.rejects(network.listenQemu(`unix://${folder}/vm.sock`), CLOSED);
  assert.throws(() => network.forward('127.0.0.1:0', '192.168.127.2:22'), CLOSED);
  assert.throws(() => network.attachMemory('late', () => {}), CLOSED);
  network.unref();
  assert.equal(descriptors(), before);
  assert.equal(existsSync(`${folder}/vm.sock`), false);
  assert.equal(await isListening(port), false);
});

test('a capture that can not be written any more ends, which is told of once, and the network goes on', async () => {
  const captureFile = join(temporaryFolder(), 'capture.pcapng');
  execFileSync('mkfifo', [captureFile]);
  const reader = openSync(captureFile, constants.O_RDONLY | constants.O_NONBLOCK);
  const network = await VirtualNetwork.create({ captureFile });
  const told: (string | undefined)[] = [];
  network.on('captureEnded', (error: NodeJS.ErrnoException) => void told.push(error.code));
  const { guest } = attachGuest(network, '5a:94:ef:e4:0c:ee');
  await guest.dhcp();
  assert.deepEqual(told, []);
  closeSync(reader);
  for (let i = 0; i < 3; i++) await guest.ping('192.168.127.1');
  assert.deepEqual(told, ['EPIPE']);
  await network.close();
});

test('closing while a socket is being opened closes that too', async () => {
  const folder = temporaryFolder();
  const network = await VirtualNetwork.create();
  const listening = assert.rejects(network.listenQemu(`unix://${folder}/vm.sock`), CLOSED);
  await network.close();
  await listening;
  assert.equal(existsSync(`${folder}/vm.sock`), false);
});

test('closing again from an event of closing is no trouble', async () => {
  const folder = temporaryFolder();
  const network = await VirtualNetwork.create();
  await network.listenQemu(`unix://${folder}/vm.sock`);
  network.on('disconnected', () => void network.close());
  const vm = connect(`${folder}/vm.sock`);
  await once(network, 'connected');
  await network.close();
  vm.destroy();
  assert.equal(network.portCount, 0);
});

test('a connection that waits for an absent guest is reset when the network closes', async () => {
  const network = await VirtualNetwork.create();
  const asked = new Promise<void>((resolve) => void network.attachMemory('listening', () => resolve()));
  const { port } = network.forward('127.0.0.1:0', '192.168.127.9:22');
  const socket = connect(port, '127.0.0.1');
  const reset = once(socket, 'error', { signal: AbortSignal.timeout(5000) });
  await asked;
  await network.close();
  const [{ code }] = (await reset) as [{ code: string }];
  assert.equal(code, 'ECONNRESET');
});

test('a guest in this process that is unplugged leaves its bytes in the counters, and nothing else', async () => {
  const network = await VirtualNetwork.create();
  const first = attachGuest(network, MAC);
  await first.guest.dhcp();
  const { bytesSent, bytesReceived } = network;
  assert.ok(bytesSent > 0 && bytesReceived > 0);
  first.port.close();
  assert.deepEqual([network.bytesSent, network.bytesReceived, network.portCount], [bytesSent, bytesReceived, 0]);
  await network.close();
});

test('what a guest has sent before it was unplugged is forgotten, and so is what it was to get', async () => {
  const network = await VirtualNetwork.create();
  // An ARP request for the gateway from 192.168.127.9, as a guest announces itself.
  const question = Buffer.from('ffffffffffff5a94efe40cee080600010800060400015a94efe40ceec0a87f09000000000000c0a87f01', 'hex');
  const frames: string[] = [];
  const unplugged = network.attachMemory('unplugged', () => frames.push('unplugged'));
  unplugged.send(question);
  unplugged.close();
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(network.bytesReceived, 0);
  const closing = network.attachMemory('closing', () => {
    frames.push('closing');
    closing.close();
  });
  closing.send(question);
  closing.send(question);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual(frames, ['closing']);
  await network.close();
});

test('a guest in this process that throws gets each frame once, and other guests theirs', async () => {
  const { status, stdout, stderr } = await runScript(`
    let thrown = 0;
    process.on('uncaughtException', ({ message }) => { if (message === 'not today') thrown++; else throw new Error(message); });
    const network = await VirtualNetwork.create();
    try { network.attachMemory('without'); } catch ({ name, message }) { console.log(name, message); }
    const frames = [[], []];
    const question = Buffer.from('ffffffffffff5a94efe40cee080600010800060400015a94efe40ceec0a87f09000000000000c0a87f01', 'hex');
    const first = network.attachMemory('first', () => { frames[0].push('frame'); throw new Error('not today'); });
    const second = network.attachMemory('second', () => frames[1].push('frame'));
    for (let i = 0; i < 3; i++) first.send(question);
    await new Promise((resolve) => setTimeout(resolve, 50));
    console.log(frames[0].length, frames[1].length, thrown);
    await network.close();
  `);
  assert.equal(status, 0, `${stdout}${stderr}`);
  // Three answers for the first, three broadcasts for the second.
  assert.deepEqual(stdout.trim().split('\n'), ['TypeError attachMemory wants a function that takes frames, not undefined', '3 3 3']);
});

test('listeners and forwards that were closed leave nothing behind in a network that goes on', async () => {
  const { status, stdout, stderr } = await runScript(`
    import { setFlagsFromString } from 'node:v8';
    import { runInNewContext } from 'node:vm';
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc');
    const network = await VirtualNetwork.create();
    const gone = [];
    for (let i = 0; i < 10; i++) {
      const listener = await network.listenQemu('tcp://127.0.0.1:0');
      const forward = network.forward('127.0.0.1:0', '192.168.127.2:22');
      gone.push(new WeakRef(listener), new WeakRef(forward));
      listener.close();
      forward.close();
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
    collect();
    // What was made last may still be on the stack.
    console.log(gone.slice(0, -2).filter((ref) => ref.deref() !== undefined).length);
    await network.close();
  `);
  assert.equal(status, 0, `${stdout}${stderr}`);
  assert.equal(stdout.trim(), '0');
});

test('forwards from localhost, from every address and from an IPv6 literal', async () => {
  const network = await VirtualNetwork.create();
  for (const local of ['localhost:0', ':0', '[::1]:0']) {
    const forward = network.forward(local, '192.168.127.2:22');
    assert.equal(await isListening(forward.port), local !== '[::1]:0', local);
    forward.close();
  }
  await network.close();
});

test('guests of IPv6 are forwarded to and dialled by their addresses, which stand in brackets where a port follows', async () => {
  const network = await VirtualNetwork.create({ subnet6: 'fd00:1:2:3::/64' });
  const forward = network.forward('127.0.0.1:0', '[fd00:1:2:3:0:0::9]:22');
  assert.equal(forward.remote, '[fd00:1:2:3::9]:22');
  for (const host of ['fd00:1:2:3::9', '[fd00:1:2:3::9]'])
    await assert.rejects(network.dial(host, 22, { timeout: 5 }), { message: 'connect tcp [fd00:1:2:3::9]:22: operation timed out' });
  await assert.rejects(network.dial('fd00:1:2:4::9', 22), { name: 'ConfigError' });
  await network.close();
});

test('says what is wrong with an address to listen on or to forward', async () => {
  const network = await VirtualNetwork.create();
  await assert.rejects(network.listenQemu('/tmp/foo.sock'), {
    name: 'ConfigError',
    message:
      'cannot listen on "/tmp/foo.sock": not a URL (a path of a unix socket follows unix://); want unix:///path/to/socket, tcp://host:port or vsock://:port',
  });
  await assert.rejects(network.listenQemu('localhost:4000'), /"localhost:4000": not a URL; want unix:/);
  await assert.rejects(network.listenQemu('tcp://127.0.0.1'), /missing port in address/);
  await assert.rejects(network.listenQemu(undefined as unknown as string), /cannot listen on undefined: not a URL; want unix:/);
  assert.throws(() => network.forward('8378', '192.168.127.2:22'), ConfigError);
  assert.throws(() => network.forward('127.0.0.1:0', '8.8.8.8:22'), ConfigError);
  await network.close();
});
