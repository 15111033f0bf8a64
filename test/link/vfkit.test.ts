import assert from 'node:assert/strict';
import { existsSync, readdirSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { LARGEST_FRAME, type Port } from '../../src/link/port.ts';
import { MAXIMUM_PORTS } from '../../src/link/stream-ports.ts';
import { openVfkit, type VfkitListener } from '../../src/link/vfkit.ts';
import { ManualClock } from '../../src/runtime/clock.ts';
import { SOCK_DGRAM } from '../../src/system/constants.ts';
import { close } from '../../src/system/syscalls.ts';
import { listenUnix } from '../../src/system/unix-listener.ts';
import { MessageEnd, UnconnectedEnd, type VmEnd } from './vm-ends.ts';
import { descriptors, numbered, numberOf, World } from './world.ts';

const VFKT = Buffer.from('VFKT');

let clock: ManualClock;
let world: World;
let path: string;
let link: VfkitListener;
let heard: { port: Port; frame: Uint8Array }[];
let ends: VmEnd[];

beforeEach(() => {
  clock = new ManualClock();
  world = new World(clock);
  path = join(world.folder, 'net.sock');
  link = openVfkit({ path }, world.environment);
  heard = [];
  ends = [];
  world.onFrame = (port, frame) => void heard.push({ port, frame: frame.slice() });
});

afterEach(() => {
  link.close();
  for (const end of ends) end.close();
  world.close();
});

function own(name: string): string {
  return join(world.folder, `${name}.sock`);
}

/** Connected, as vfkit and krunkit are. */
function vm(name: string): MessageEnd {
  const end = MessageEnd.unix(SOCK_DGRAM, path, own(name));
  ends.push(end);
  return end;
}

function unconnected(name: string): UnconnectedEnd {
  const end = UnconnectedEnd.unix(path, own(name));
  ends.push(end);
  return end;
}

function kill(end: VmEnd): void {
  ends.splice(ends.indexOf(end), 1);
  end.close();
}

/** Its frame arrives. */
async function speaks(end: VmEnd, number: number): Promise<Port> {
  heard.length = 0;
  assert.ok(end.send(numbered(number, 60)));
  await world.until(() => heard.length > 0, 'a frame');
  assert.deepEqual(
    heard.map(({ frame }) => numberOf(frame)),
    [number],
  );
  return heard[0]!.port;
}

async function hears(end: VmEnd, port: Port, number: number): Promise<void> {
  assert.ok(world.send(port, numbered(number, 60)));
  let frame: Uint8Array | null = null;
  await world.until(() => (frame = end.receive()) !== null, 'a frame for the VM');
  assert.equal(numberOf(frame!), number);
}

test('§6.6: the first datagram that is not VFKT is the first frame; VFKT at any time is none', async () => {
  const plain = vm('plain');
  const port = await speaks(plain, 1);
  assert.equal(port.name, own('plain'));
  for (let i = 0; i < 3; i++) assert.ok(plain.send(VFKT));
  assert.equal(await speaks(plain, 2), port);
  await hears(plain, port, 3);
  assert.deepEqual(world.events, ['connected 0']);
  const greeting = vm('greeting');
  greeting.send(VFKT);
  await world.until(() => world.ports.length === 2, 'the second VM');
  await hears(greeting, world.ports[1]!, 4);
  assert.equal(await speaks(greeting, 5), world.ports[1]);
  // A frame for a station whose address begins like that, and what is shorter but no greeting.
  greeting.send(Buffer.concat([VFKT, numbered(6, 60)]));
  greeting.send(Buffer.from('VFKX'));
  greeting.send(new Uint8Array(0));
  await world.until(() => heard.length === 4, 'frames');
  assert.deepEqual(
    heard.map(({ frame }) => frame.length),
    [60, 64, 4, 0],
  );
});

test('§6.6: a sender without an address is refused, counted, and told of once', async () => {
  const nameless = MessageEnd.unix(SOCK_DGRAM, path);
  ends.push(nameless);
  for (let i = 0; i < 5; i++) assert.ok(nameless.send(numbered(i, 60)));
  await world.until(() => link.refused === 5, 'five refusals');
  assert.deepEqual(world.events, ['refused: vfkit socket address is empty']);
  assert.equal(heard.length, 0);
  await speaks(vm('named'), 6);
});

test('a sender that can not be sent to is refused, and told of with the reason', async () => {
  const end = vm('moved');
  end.send(VFKT);
  unlinkSync(own('moved'));
  const { fd } = listenUnix(own('moved'), 1);
  await world.until(() => world.events.length > 0, 'a refusal');
  assert.deepEqual(world.events, [`refused: cannot send to ${own('moved')}, which is refused: protocol wrong type for socket`]);
  assert.equal(world.ports.length, 0);
  close(fd);
});

test('a VM that is killed and started anew at its address gets another port before the old one goes', async () => {
  const first = vm('vm');
  first.send(VFKT);
  const port = await speaks(first, 1);
  kill(first);
  unlinkSync(own('vm'));
  const again = vm('vm');
  again.send(VFKT);
  await world.until(() => world.events.length === 3, 'the change');
  assert.deepEqual(world.events, ['connected 0', 'connected 1', `disconnected 0: ${own('vm')} was started anew`]);
  const next = await speaks(again, 2);
  assert.notEqual(next, port);
  await hears(again, next, 3);
});

test('a VM started anew that does not greet goes on with its port', async () => {
  const first = vm('vm');
  const port = await speaks(first, 1);
  kill(first);
  unlinkSync(own('vm'));
  const again = vm('vm');
  assert.equal(await speaks(again, 2), port);
  await hears(again, port, 3);
  assert.deepEqual(world.events, ['connected 0']);
});

test('§6.8: a VM whose socket is gone is noticed when a frame for it cannot be sent', async () => {
  for (const [name, text] of [
    ['dead', 'connection refused'],
    ['removed', 'no such file or directory'],
  ] as const) {
    const end = vm(name);
    const port = await speaks(end, 1);
    kill(end);
    if (name === 'removed') unlinkSync(own(name));
    world.send(port, numbered(2, 60));
    await world.until(() => !world.ports.includes(port), 'its end');
    assert.equal(world.events.at(-1), `disconnected ${port.id}: cannot write packet to socket: ${text}`);
  }
});

test('a quiet VM that has gone is found within two seconds, and its socket is closed; those that live stay', async () => {
  const before = descriptors();
  const dead = vm('dead');
  const deadToo = unconnected('dead-too');
  await speaks(dead, 1);
  await speaks(deadToo, 2);
  const living = await speaks(vm('living'), 3);
  const livingToo = await speaks(unconnected('living-too'), 4);
  kill(dead);
  kill(deadToo);
  clock.advance(1900);
  await world.turn();
  assert.equal(world.ports.length, 4);
  clock.advance(200);
  await world.turn();
  assert.deepEqual(world.ports, [living, livingToo]);
  // Two VMs here, a socket to each and one at the path; one of these was there before.
  assert.equal(descriptors() - before, 4);
});

test('VMs that are not connected find the socket by its path again and again', async () => {
  const ports: Port[] = [];
  const vms = Array.from({ length: 5 }, (_, i) => (i % 2 === 0 ? unconnected(`u${i}`) : vm(`c${i}`)));
  for (let round = 0; round < 3; round++) {
    for (const [i, end] of vms.entries()) {
      const port = await speaks(end, i);
      ports[i] ??= port;
      assert.equal(port, ports[i]);
      await hears(end, port, i);
    }
  }
  assert.equal(world.ports.length, 5);
});

test('an unconnected VM that reads nothing loses nothing, and one started anew is found when it greets', async () => {
  const end = unconnected('slow');
  const port = await speaks(end, 0);
  let sent = 0;
  for (let i = 0; i < 2000 && world.send(port, numbered(i, 1514)); i++) sent++;
  await world.settle();
  let got = 0;
  await world.until(() => {
    for (let frame = end.receive(); frame !== null; frame = end.receive()) assert.equal(numberOf(frame), got++);
    return got === sent;
  }, `${sent} frames`);
  kill(end);
  unlinkSync(own('slow'));
  const again = unconnected('slow');
  again.send(VFKT);
  await world.settle();
  await hears(again, world.ports[0]!, 1);
});

test('VMs that have connected before the first of them spoke share a socket', async () => {
  const [a, b] = [vm('a'), vm('b')];
  const ports = [await speaks(a, 1), await speaks(b, 2)] as const;
  assert.notEqual(ports[0], ports[1]);
  await hears(a, ports[0], 3);
  await hears(b, ports[1], 4);
  kill(a);
  world.send(ports[0], numbered(5, 60));
  await world.until(() => world.ports.length === 1, 'the end of one');
  await speaks(b, 6);
  await hears(b, ports[1], 7);
});

test('there are no more VMs than 64, and another when one has gone', async () => {
  for (let i = 0; i < MAXIMUM_PORTS; i++) await speaks(vm(`vm${i}`), i);
  const late = vm('late');
  for (let i = 0; i < 3; i++) late.send(numbered(i, 60));
  await world.until(() => link.refused === 3, 'refusals');
  assert.equal(world.events.at(-1), `refused: no room for another VM: ${own('late')} is refused`);
  assert.equal(world.ports.length, MAXIMUM_PORTS);
  kill(ends[10]!);
  clock.advance(2100);
  await world.turn();
  const port = await speaks(late, 7);
  await hears(late, port, 8);
});

test("the socket's file belongs to its owner alone, follows the newest socket, and goes with the link", async () => {
  const mode = (): number => statSync(path).mode & 0o777;
  assert.equal(mode(), 0o600);
  const first = statSync(path).ino;
  await speaks(vm('vm'), 1);
  assert.equal(mode(), 0o600);
  assert.notEqual(statSync(path).ino, first);
  assert.deepEqual(readdirSync(world.folder).toSorted(), ['net.sock', 'vm.sock']);
  assert.throws(() => openVfkit({ path }, world.environment), { code: 'EADDRINUSE' });
  assert.ok(existsSync(path));
  link.close();
  assert.ok(!existsSync(path));
});

test("another's file at the path is left alone, and the VMs there are go on", async () => {
  const a = vm('a');
  unlinkSync(path);
  writeFileSync(path, 'mine');
  const port = await speaks(a, 1);
  await hears(a, port, 2);
  link.close();
  assert.ok(existsSync(path));
});

test('krunkit without headers says how large its frames may be', async () => {
  link.close();
  link = openVfkit({ path, largestFrame: LARGEST_FRAME }, world.environment);
  const port = await speaks(vm('krunkit'), 1);
  assert.deepEqual([port.largestFrame, port.offload], [LARGEST_FRAME, false]);
});
