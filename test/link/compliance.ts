/**
 * What every link must do, whatever it is made of. A link is tested by an adapter: how it is opened, what its VMs look like, and what
 * its medium can't do.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { Link, LinkEnvironment } from '../../src/link/link.ts';
import type { Port } from '../../src/link/port.ts';
import type { VmEnd } from './vm-ends.ts';
import { descriptors, numbered, numberOf, World } from './world.ts';

export interface LinkAdapter {
  readonly name: string;
  /** How many frames the long runs have, each way. */
  readonly frames: number;
  /** Bytes of the smallest frame that the medium carries, where it isn't 1. */
  readonly smallest?: number;
  /** A frame of no bytes can be sent. */
  readonly empty: boolean;
  /** Bytes of the largest frame that the medium carries. */
  readonly largest: number;
  /** What a frame of more bytes does: it is lost and counted, the VM is disconnected, or it can't be sent. */
  readonly oversize: { readonly bytes: number; readonly is: 'lost' | 'disconnected' } | null;
  /** Nothing is lost when one side is slow. */
  readonly lossless: boolean;
  /** VMs at a time. */
  readonly vms: number;
  /** When the link learns that a VM has gone: at once, when a frame for it can't be sent or soon after, or never. */
  readonly end: 'told' | 'noticed' | 'unknown';
  /** Whether VMs come and go while the link stays. */
  readonly reconnects: boolean;
  /** Bytes in front of each frame on the wire that aren't its length: a virtio-net header. */
  readonly vnet: boolean;
  /** `folder` is empty, and removed afterwards. */
  open(environment: LinkEnvironment, folder: string): Promise<OpenLink>;
}

export interface OpenLink {
  readonly link: Link;
  /** Another VM; it may send frames at once. Its port is there when it has been heard of, at the latest after its first frame. */
  attach(): VmEnd;
}

const HEADER = 12;
/** A header that says nothing, as the VM sends it. */
const PLAIN: Uint8Array = new Uint8Array(HEADER);

/** Frames at a time where those that find no room are lost: fewer than are read in a turn. */
const BURST = 48;

class Scene {
  readonly world: World = new World();
  readonly adapter: LinkAdapter;
  open!: OpenLink;
  readonly received: { readonly port: Port; readonly frame: Uint8Array }[] = [];

  private constructor(adapter: LinkAdapter) {
    this.adapter = adapter;
    this.world.onFrame = (port, frame) => void this.received.push({ port, frame: frame.slice() });
  }

  static async run(adapter: LinkAdapter, play: (scene: Scene) => Promise<void>): Promise<void> {
    const scene = new Scene(adapter);
    try {
      scene.open = await adapter.open(scene.world.environment, scene.world.folder);
      await play(scene);
      scene.open.link.close();
      assert.deepEqual(scene.world.ports, [], 'closing the link detaches its VMs');
    } finally {
      scene.world.close();
    }
  }

  /** A frame as it is on the wire. */
  wire(frame: Uint8Array): Uint8Array {
    return this.adapter.vnet ? Buffer.concat([PLAIN, frame]) : frame;
  }

  /** A frame without what stands in front of it on the wire. */
  bare(message: Uint8Array): Uint8Array {
    return this.adapter.vnet ? message.subarray(HEADER) : message;
  }

  /** A VM that the link knows of, and its port. */
  async vm(): Promise<{ vm: VmEnd; port: Port }> {
    const vm = this.open.attach();
    const known = this.received.length;
    this.fromVm(vm, numbered(0xcafe, 60));
    await this.world.until(() => this.received.length > known, 'the first frame');
    return { vm, port: this.received.pop()!.port };
  }

  fromVm(vm: VmEnd, frame: Uint8Array): void {
    assert.ok(vm.send(this.wire(frame)), 'the link takes the frame');
  }

  /** All frames that the VM has now. */
  drain(vm: VmEnd): Uint8Array[] {
    const frames: Uint8Array[] = [];
    for (let frame = vm.receive(); frame !== null; frame = vm.receive()) frames.push(this.bare(frame));
    return frames;
  }
}

/** Registers the tests of one link. */
export function complies(adapter: LinkAdapter): void {
  const scene =
    (play: (scene: Scene) => Promise<void>): (() => Promise<void>) =>
    () =>
      Scene.run(adapter, play);

  describe(adapter.name, () => {
    test('frames of every length come out as they went in, both ways', scene(everyLength));
    test(`${adapter.frames} frames come in order`, scene(manyFromVm));
    test(`${adapter.frames} frames go in order`, scene(manyToVm));
    test('counters say what was sent', scene(statistics));
    test('closing the link ends what it has with its VMs, and leaks nothing', () => closing(adapter));
    if (adapter.oversize !== null) test('an oversize frame harms nobody else', scene(oversize));
    if (adapter.lossless) test('a VM that reads nothing makes claims fail, and has lost nothing when it reads on', scene(backPressure));
    if (adapter.vms > 1) test('a VM that reads nothing does not slow another', scene(slowBesideQuick));
    if (adapter.vms > 1) test('the death of a VM in the middle of its frames is noticed, and disturbs no other', scene(suddenDeath));
    if (adapter.reconnects) test('a hundred VMs come and go, and leave nothing behind', scene(comingAndGoing));
    if (adapter.vnet) test('frames whose virtio-net header makes no sense are dropped and counted', scene(headers));
  });
}

async function everyLength(scene: Scene): Promise<void> {
  const { world, adapter, received } = scene;
  const { vm, port } = await scene.vm();
  const smallest = adapter.empty ? 0 : (adapter.smallest ?? 1);
  const usual = [0, 1, 13, 14, 15, 42, 60, 1514, 1515, 9014, 65_507, 65_535, 65_549].filter(
    (length) => length >= smallest && length < adapter.largest,
  );
  const lengths = [...usual, adapter.largest];
  for (const length of lengths) {
    const frame = numbered(length, length);
    scene.fromVm(vm, frame);
    await world.until(() => received.length === 1, `a frame of ${length} bytes`);
    assert.deepEqual(received.pop()!.frame, frame);
    if (length < 14) continue;
    assert.ok(world.send(port, frame));
    let got: Uint8Array | null = null;
    await world.until(() => (got = vm.receive()) !== null, `a frame of ${length} bytes for the VM`);
    assert.deepEqual(Buffer.from(scene.bare(got!)), Buffer.from(frame));
  }
  vm.close();
}

/** As many as the link takes at a time where it loses nothing, else as many as its queues hold. */
async function manyFromVm(scene: Scene): Promise<void> {
  const { world, adapter } = scene;
  const { vm } = await scene.vm();
  const burst = adapter.lossless ? 64 : BURST;
  let expected = 0;
  let wrong = 0;
  world.onFrame = (_, frame) => {
    if (frame.length !== 60 || numberOf(frame) !== expected) wrong++;
    expected++;
  };
  const wire = scene.wire(numbered(0, 60));
  const view = new DataView(wire.buffer, wire.byteOffset + (adapter.vnet ? HEADER : 0));
  for (let sent = 0; sent < adapter.frames;) {
    for (let i = 0; i < burst && sent < adapter.frames; i++) {
      view.setUint32(0, sent);
      if (!vm.send(wire)) break;
      sent++;
    }
    await turn();
  }
  vm.receive();
  await world.until(() => expected >= adapter.frames, 'all frames');
  assert.equal(wrong, 0);
  vm.close();
}

async function manyToVm(scene: Scene): Promise<void> {
  const { world, adapter } = scene;
  const { vm, port } = await scene.vm();
  const burst = adapter.lossless ? 64 : BURST;
  const frame = numbered(0, 60);
  const view = new DataView(frame.buffer);
  let expected = 0;
  let wrong = 0;
  for (let sent = 0; expected < adapter.frames;) {
    for (let i = 0; i < burst && sent < adapter.frames; i++) {
      view.setUint32(0, sent);
      if (!world.send(port, frame)) break;
      sent++;
    }
    await turn();
    for (let message = vm.receive(); message !== null; message = vm.receive()) {
      const got = scene.bare(message);
      if (got.length !== 60 || numberOf(got) !== expected) wrong++;
      expected++;
    }
    assert.equal(wrong, 0, `frame ${expected}`);
  }
  vm.close();
}

async function statistics(scene: Scene): Promise<void> {
  const { world, received } = scene;
  const { vm, port } = await scene.vm();
  let bytes = 0;
  for (let i = 0; i < 30; i++) {
    const frame = numbered(i, 60 + i * 40);
    scene.fromVm(vm, frame);
    assert.ok(world.send(port, frame));
    bytes += frame.length;
    // Queues of unix datagram sockets may hold no more than eleven.
    if (i % 8 === 7) await world.until(() => received.length === i + 1, `frame ${i}`);
  }
  let got = 0;
  await world.until(() => (got += scene.drain(vm).length) === 30 && received.length === 30, 'thirty frames each way');
  const { txFrames, txBytes, txDropped, rxDropped } = port.counters;
  assert.deepEqual({ txFrames, txBytes, txDropped, rxDropped }, { txFrames: 30, txBytes: bytes, txDropped: 0, rxDropped: 0 });
  assert.ok(world.batches > 0, 'batches end');
  vm.close();
}

async function oversize(scene: Scene): Promise<void> {
  const { world, adapter, received } = scene;
  const { bytes, is } = adapter.oversize!;
  const { vm, port } = await scene.vm();
  scene.fromVm(vm, numbered(1, 60));
  vm.send(scene.wire(new Uint8Array(bytes)));
  if (is === 'disconnected') {
    await world.until(() => world.events.some((event) => event.startsWith(`disconnected ${port.id}`)), 'the end of the connection');
    assert.deepEqual(
      received.map(({ frame }) => numberOf(frame)),
      [1],
    );
  } else {
    scene.fromVm(vm, numbered(2, 60));
    await world.until(() => received.length >= 2, 'the frames around it');
    assert.deepEqual(
      received.map(({ frame }) => numberOf(frame)),
      [1, 2],
    );
    assert.equal(port.counters.rxDropped, 1);
  }
  const other = adapter.vms > 1 ? await scene.vm() : null;
  other?.vm.close();
  vm.close();
}

async function backPressure(scene: Scene): Promise<void> {
  const { world } = scene;
  const { vm, port } = await scene.vm();
  let sent = 0;
  // A port that takes all there is in a while without anyone reading would take more than any queue may hold.
  for (let refusals = 0; refusals < 20 && sent < 200_000;) {
    if (world.send(port, numbered(sent, 1514))) {
      sent++;
      if (sent % 64 === 0) await turn();
    } else {
      refusals++;
      await turn();
    }
  }
  assert.ok(sent < 50_000, 'claims fail while the VM reads nothing');
  assert.equal(world.drained.length, 0);
  let expected = 0;
  await world.until(() => {
    for (const frame of scene.drain(vm)) {
      assert.equal(numberOf(frame), expected++);
      assert.equal(frame.length, 1514);
    }
    return expected === sent;
  }, 'every frame');
  assert.deepEqual([port.counters.txFrames, port.counters.txDropped], [sent, 0]);
  assert.ok(world.drained.includes(port), 'drained is told');
  assert.ok(world.send(port, numbered(sent, 60)), 'and there is room');
  await world.until(() => scene.drain(vm).length === 1, 'another frame');
  vm.close();
}

async function slowBesideQuick(scene: Scene): Promise<void> {
  const { world, received } = scene;
  const slow = await scene.vm();
  const quick = await scene.vm();
  for (let i = 0; i < 50_000 && world.send(slow.port, numbered(i, 1514)); i++) if (i % 64 === 0) await turn();
  await world.settle();
  let got = 0;
  for (let i = 0; i < 2000; i++) {
    assert.ok(world.send(quick.port, numbered(i, 1514)), 'the quick one takes it');
    scene.fromVm(quick.vm, numbered(i, 60));
    if (i % 4 !== 3) continue;
    await world.until(() => {
      for (const frame of scene.drain(quick.vm)) assert.equal(numberOf(frame), got++);
      return got === i + 1 && received.length === got;
    }, `frame ${i}`);
  }
  slow.vm.close();
  quick.vm.close();
}

async function suddenDeath(scene: Scene): Promise<void> {
  const { world, adapter, received } = scene;
  const dying = await scene.vm();
  const other = await scene.vm();
  // The beginning of a frame of 1000 bytes.
  dying.vm.sendBytes?.(Uint8Array.of(0, 0, 3, 232, 1, 2, 3));
  for (let i = 0; i < 5 && dying.vm.sendBytes === undefined; i++) scene.fromVm(dying.vm, numbered(i, 60));
  for (let i = 0; i < 100; i++) world.send(dying.port, numbered(i, 1514));
  dying.vm.close();
  const gone = (): boolean => world.events.some((event) => event.startsWith(`disconnected ${dying.port.id}: `));
  await world.until(gone, 'its end');
  assert.ok(!world.ports.includes(dying.port));
  assert.equal(dying.port.claim(100), -1, 'nothing can be claimed of a port that is gone');
  received.length = 0;
  scene.fromVm(other.vm, numbered(77, 60));
  assert.ok(world.send(other.port, numbered(78, 60)));
  await world.until(() => received.length === 1 && received[0]!.port === other.port, 'a frame of the other');
  let got: Uint8Array[] = [];
  await world.until(() => (got = scene.drain(other.vm)).length > 0, 'a frame for the other');
  assert.equal(numberOf(got[0]!), 78);
  if (adapter.reconnects) (await scene.vm()).vm.close();
  other.vm.close();
}

async function comingAndGoing(scene: Scene): Promise<void> {
  const { world, adapter } = scene;
  const once = async (): Promise<void> => {
    const { vm, port } = await scene.vm();
    assert.ok(world.send(port, numbered(1, 60)));
    await world.until(() => scene.drain(vm).length === 1, 'its frame');
    vm.close();
    if (adapter.end === 'noticed') world.send(port, numbered(2, 60));
    await world.until(() => !world.ports.includes(port), 'its end');
  };
  await once();
  const before = { open: descriptors(), free: world.free };
  for (let i = 0; i < 100; i++) await once();
  assert.deepEqual({ open: descriptors(), free: world.free }, before);
}

async function closing(adapter: LinkAdapter): Promise<void> {
  const world = new World();
  try {
    // What stays as long as the network is there now.
    (await adapter.open(world.environment, world.folder)).link.close();
    world.events.length = 0;
    const before = { open: descriptors(), free: world.free };
    const open = await adapter.open(world.environment, world.folder);
    const vm = open.attach();
    let frames = 0;
    world.onFrame = () => void frames++;
    vm.send(adapter.vnet ? Buffer.concat([PLAIN, numbered(1, 60)]) : numbered(1, 60));
    await world.until(() => frames > 0, 'a frame');
    assert.equal(world.ports.length, 1);
    open.link.close();
    open.link.close();
    await world.settle();
    assert.equal(world.ports.length, 0);
    assert.equal(world.events.filter((event) => event.startsWith('disconnected')).length, 1);
    assert.equal(world.events.at(-1), 'closed');
    if (adapter.end === 'told') await world.until(() => vm.receive() === null && vm.ended, 'the end, as the VM sees it');
    vm.close();
    await world.settle();
    assert.deepEqual({ open: descriptors(), free: world.free }, before);
  } finally {
    world.close();
  }
}

async function headers(scene: Scene): Promise<void> {
  const { world, received } = scene;
  const { vm, port } = await scene.vm();
  const frame = numbered(1, 200);
  const bad: Uint8Array[] = [
    // Shorter than a header.
    new Uint8Array(11),
    // A segment type without a checksum to complete; an unknown type; a checksum outside the frame.
    Buffer.concat([Uint8Array.of(0, 1, 54, 0, 100, 0, 34, 0, 16, 0, 0, 0), frame]),
    Buffer.concat([Uint8Array.of(1, 9, 54, 0, 100, 0, 34, 0, 16, 0, 0, 0), frame]),
    Buffer.concat([Uint8Array.of(1, 0, 0, 0, 0, 0, 190, 0, 16, 0, 0, 0), frame]),
  ];
  for (const message of bad) assert.ok(vm.send(message));
  const good = Uint8Array.of(1, 1, 54, 0, 100, 0, 34, 0, 16, 0, 0, 0);
  let header: Uint8Array | null = null;
  world.onFrame = (from, got, at) => {
    received.push({ port: from, frame: got.slice() });
    header = world.arena.bytes.slice(at - HEADER, at);
  };
  assert.ok(vm.send(Buffer.concat([good, frame])));
  await world.until(() => received.length === 1, 'the good one');
  assert.deepEqual([received[0]!.frame, header], [frame, good]);
  assert.equal(port.counters.rxDropped, bad.length);
  assert.ok(port.offload && port.largestFrame > 65_000);
  const messages: Uint8Array[] = [];
  const next = (): boolean => {
    const message = vm.receive();
    if (message !== null) messages.push(message);
    return message !== null;
  };
  assert.ok(world.send(port, frame, good));
  await world.until(next, 'a described frame');
  assert.deepEqual([...messages[0]!.subarray(0, HEADER)], [...good]);
  assert.ok(world.send(port, frame));
  await world.until(next, 'a frame that nobody described');
  assert.deepEqual([...messages[1]!.subarray(0, HEADER)], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
  vm.close();
}
