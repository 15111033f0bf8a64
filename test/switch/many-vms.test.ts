/** Many VMs on one network, each behind a unix socket of its own. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { setImmediate, setTimeout as pause } from 'node:timers/promises';
import { type NetworkOptions, VirtualNetwork } from '../../src/index.ts';
import { SoftGuest } from '../../src/testing/index.ts';
import { framed, onFrames } from '../guest/framed-stream.ts';
import { temporaryFolder } from '../guest/process.ts';

const VMS = 64;
const realTime = {
  now: () => performance.now(),
  after: (ms: number, run: () => void): (() => void) => {
    // A guest that is unplugged in mid-sentence goes on trying; its sockets keep the process alive as long as they are wanted.
    const timer = setTimeout(run, ms).unref();
    return () => clearTimeout(timer);
  },
};

/** A network that listens, and how to connect to it. */
async function listening(options: NetworkOptions = {}): Promise<{ network: VirtualNetwork; attach: () => Promise<Socket> }> {
  const path = join(temporaryFolder(), 'vm.sock');
  const network = await VirtualNetwork.create(options);
  await network.listenQemu(`unix://${path}`);
  const attach = async (): Promise<Socket> => {
    const socket = connect(path);
    await once(socket, 'connect');
    socket.on('error', () => {});
    return socket;
  };
  return { network, attach };
}

function macOf(index: number): string {
  return `02:54:00:00:00:${index.toString(16).padStart(2, '0')}`;
}

async function guests(attach: () => Promise<Socket>, count: number): Promise<{ guest: SoftGuest; socket: Socket }[]> {
  const all = [];
  for (let i = 0; i < count; i++) {
    const socket = await attach();
    const wire = { send: (frame: Uint8Array): boolean => socket.write(framed(frame)) || true };
    const guest = new SoftGuest({ mac: macOf(i), wire, scheduler: realTime });
    onFrames(socket, (frame) => guest.receive(frame, 0, frame.length));
    await guest.dhcp();
    all.push({ guest, socket });
  }
  return all;
}

test(`${VMS} VMs on one process ping each other and the gateway, all at once`, { timeout: 60_000 }, async () => {
  const { network, attach } = await listening();
  const all = await guests(attach, VMS);
  assert.equal(network.portCount, VMS);
  assert.equal(new Set(all.map(({ guest }) => guest.address)).size, VMS);
  const addresses = ['192.168.127.1', ...all.map(({ guest }) => guest.address)];
  for (const { guest } of all)
    await Promise.all(addresses.filter((address) => address !== guest.address).map((address) => guest.ping(address, 20_000)));
  for (const { guest } of all) assert.deepEqual(guest.errors, []);
  assert.equal(network.stations.size, VMS);
  for (const { counters } of network.ports) assert.deepEqual([counters.rxDropped, counters.txDropped], [0, 0]);
  for (const { socket } of all) socket.destroy();
  await network.close();
});

test('VMs that are kept apart ping the gateway and nobody else, also by way of the gateway', { timeout: 30_000 }, async () => {
  const { network, attach } = await listening({ isolation: true });
  const all = await guests(attach, 3);
  for (const { guest } of all) {
    await guest.ping('192.168.127.1', 10_000);
    for (const other of all) if (other.guest !== guest) await assert.rejects(guest.ping(other.guest.address, 50), /no echo reply/);
  }
  // A frame to the gateway's MAC address whose packet is for another VM: the gateway is no router between guests.
  const before = all.map(({ socket }) => socket.bytesRead);
  const [{ guest, socket }] = all as [(typeof all)[0]];
  const echo = Buffer.from(
    `5a94efe40cdd${macOf(0).replaceAll(':', '')}08004500001c0000400040010000c0a87f00c0a87f000800f7fe00010000`,
    'hex',
  );
  echo[29] = Number(guest.address.split('.')[3]);
  echo[33] = Number(all[1]!.guest.address.split('.')[3]);
  socket.write(framed(echo));
  await guest.ping('192.168.127.1', 10_000);
  assert.deepEqual(
    all.slice(1).map((other) => other.socket.bytesRead),
    before.slice(1),
  );
  for (const each of all) each.socket.destroy();
  await network.close();
});

test('VMs that are kept apart don’t meet on the host’s loopback, where ports are forwarded', { timeout: 30_000 }, async () => {
  for (const isolation of [true, false]) {
    const { network, attach } = await listening({ isolation });
    const all = await guests(attach, 2);
    const [one, other] = all.map(({ guest }) => guest) as [SoftGuest, SoftGuest];
    const datagrams: string[] = [];
    other.listen(22, (socket) => socket.end(Buffer.from('in')));
    other.onDatagram(53, ({ payload }) => void datagrams.push(Buffer.from(payload).toString()));
    const tcp = network.forward('127.0.0.1:0', `${other.address}:22`);
    const udp = network.forward('udp:127.0.0.1:0', `${other.address}:53`);
    const reached = one.connect('192.168.127.254', tcp.port);
    if (isolation) await assert.rejects(reached, /refused|reset/i);
    else {
      const meeting = await reached;
      const [answer] = (await once(meeting, 'data')) as [Buffer];
      assert.equal(answer.toString(), 'in');
      meeting.end();
      await once(meeting, 'close');
    }
    one.sendDatagram(5000, '192.168.127.254', udp.port, Buffer.from('question'));
    for (let i = 0; i < 100 && datagrams.length === 0 && network.counters.udp.refused === 0; i++) await pause(5);
    assert.deepEqual(datagrams, isolation ? [] : ['question']);
    // The host's own programs still have the way.
    const socket = connect(tcp.port, '127.0.0.1');
    const [text] = (await once(socket, 'data')) as [Buffer];
    assert.equal(text.toString(), 'in');
    for (const each of [socket, ...all.map((attached) => attached.socket)]) each.destroy();
    await network.close();
  }
});

test('with leases a VM that takes another’s address is not heard, and the other notices nothing', { timeout: 30_000 }, async () => {
  const { network, attach } = await listening({ guard: 'lease', dhcpStaticLeases: { '192.168.127.9': macOf(9) } });
  const [one, thief] = (await guests(attach, 2)) as [{ guest: SoftGuest }, { guest: SoftGuest; socket: Socket }];
  await one.guest.ping('192.168.127.1', 10_000);
  await one.guest.ping(thief.guest.address, 10_000);
  const { socket } = thief;
  const claim = Buffer.from(
    `ffffffffffff${macOf(1)}08060001080006040001${macOf(1)}c0a87f03000000000000c0a87f01`.replaceAll(':', ''),
    'hex',
  );
  claim[31] = Number(one.guest.address.split('.')[3]);
  socket.write(framed(claim));
  await thief.guest.ping('192.168.127.1', 10_000);
  assert.equal(network.ports[1]!.counters.rxForged, 1);
  await one.guest.ping(thief.guest.address, 10_000);
  await one.guest.ping('192.168.127.1', 10_000);
  // The holder of a static lease needs not ask.
  const fixed = await attach();
  const gratuitous = Buffer.from(
    `ffffffffffff${macOf(9)}08060001080006040001${macOf(9)}c0a87f09000000000000c0a87f01`.replaceAll(':', ''),
    'hex',
  );
  fixed.write(framed(gratuitous));
  const [answer] = (await once(fixed, 'data')) as [Buffer];
  assert.equal(answer.readUInt16BE(24), 2, 'a reply');
  for (const each of [one, thief] as { socket?: Socket }[]) each.socket?.destroy();
  fixed.destroy();
  await network.close();
});

/** Numbered frames from one VM to another: whether each arrives once, whole and in order. */
class Conversation {
  readonly #from: Socket;
  readonly #wanted: Buffer[] = [];
  #arrived = 0;
  /** What else came: broadcasts of the VM that is killed. */
  others = 0;

  constructor(from: Socket, to: Socket) {
    this.#from = from;
    onFrames(to, (frame) => {
      if (frame.readUInt16BE(12) !== 0x88b5) {
        this.others++;
        return;
      }
      assert.deepEqual(frame, this.#wanted[this.#arrived], `frame ${this.#arrived}`);
      this.#arrived++;
    });
  }

  send(header: string): void {
    const length = 50 + ((this.#wanted.length * 37) % 1400);
    const frame = Buffer.concat([Buffer.from(header, 'hex'), Buffer.alloc(length, this.#wanted.length)]);
    frame.writeUInt32BE(this.#wanted.length, 14);
    this.#wanted.push(frame);
    this.#from.write(framed(frame));
  }

  async settled(): Promise<void> {
    for (let i = 0; this.#arrived < this.#wanted.length; i++) {
      assert.ok(i < 5000, `${this.#arrived} of ${this.#wanted.length} frames have arrived`);
      await (i < 200 ? setImmediate() : pause(1));
    }
  }
}

test('a VM that doesn’t read loses what is sent to it, and the others lose nothing', { timeout: 30_000 }, async () => {
  const { network, attach } = await listening();
  const [one, other, slow] = [await attach(), await attach(), await attach()];
  const header = (to: number, from: number): string => `${macOf(to)}${macOf(from)}88b5`.replaceAll(':', '');
  const conversation = new Conversation(one, other);
  for (const [socket, index] of [
    [other, 2],
    [slow, 3],
  ] as const)
    socket.write(framed(Buffer.from(`5a94efe40cdd${header(0, index).slice(12)}`, 'hex')));
  while (network.stations.size < 2) await setImmediate();
  slow.pause();
  const flood = framed(Buffer.concat([Buffer.from(header(3, 1), 'hex'), Buffer.alloc(60_000)]));
  for (let i = 0; network.ports[2]!.counters.txDropped < 100; i++) {
    assert.ok(i < 5000, 'it takes everything');
    one.write(flood);
    conversation.send(header(2, 1));
    if (i % 16 === 0) await conversation.settled();
  }
  await conversation.settled();
  assert.equal(network.ports[1]!.counters.txDropped, 0);
  for (const socket of [one, other, slow]) socket.destroy();
  await network.close();
});

/** What a VM says when it comes up, as it goes over its socket: questions of all kinds, one of them to every VM. */
async function recorded(): Promise<Buffer> {
  const { network, attach } = await listening();
  const socket = await attach();
  const said: Buffer[] = [];
  const wire = { send: (frame: Uint8Array): boolean => said.push(framed(frame)) > 0 && (socket.write(framed(frame)) || true) };
  const guest = new SoftGuest({ mac: macOf(3), wire, scheduler: realTime });
  onFrames(socket, (frame) => guest.receive(frame, 0, frame.length));
  await guest.dhcp();
  await guest.ping('192.168.127.1', 10_000);
  (await guest.connect('192.168.127.1', 53)).destroy();
  guest.sendDatagram(5000, '192.168.127.1', 53, Buffer.alloc(20));
  socket.destroy();
  await network.close();
  // To a VM that is there, and a length that ends the link.
  said.push(framed(Buffer.from(`${macOf(2)}${macOf(3)}88b6`.replaceAll(':', '') + 'ab'.repeat(60), 'hex')), Buffer.from('00fffffe', 'hex'));
  return Buffer.concat(said);
}

test('§16.7: a VM killed at any byte of its stream disturbs no other, nor a broadcast on its way', { timeout: 120_000 }, async () => {
  const stream = await recorded();
  assert.ok(stream.length > 900 && stream.length < 3000, `${stream.length} bytes`);
  const { network, attach } = await listening();
  const [one, other] = [await attach(), await attach()];
  const header = `${macOf(2)}${macOf(1)}88b5`.replaceAll(':', '');
  const conversation = new Conversation(one, other);
  const broadcast = `ffffffffffff${header.slice(12)}`;
  other.write(framed(Buffer.from(`5a94efe40cdd${macOf(2)}88b5`.replaceAll(':', ''), 'hex')));
  while (network.stations.size < 1) await setImmediate();
  let gone = 0;
  network.on('disconnected', () => gone++);
  for (let cut = 0; cut <= stream.length; cut++) {
    const victim = await attach();
    conversation.send(header);
    victim.write(stream.subarray(0, cut));
    conversation.send(broadcast);
    // By turns an end behind what was said, and an end of everything, answers unread.
    if (cut % 2 === 0) victim.end();
    else void setImmediate().then(() => victim.destroy());
    conversation.send(header);
    await conversation.settled();
    victim.destroy();
  }
  for (let i = 0; gone <= stream.length; i++) {
    assert.ok(i < 5000, `${gone} have gone`);
    await pause(1);
  }
  assert.ok(conversation.others > stream.length / 2, 'the killed VMs were heard');
  assert.deepEqual([network.portCount, network.stations.size], [2, 2]);
  for (const { counters } of network.ports) assert.equal(counters.rxDropped + counters.txDropped, 0);
  for (const socket of [one, other]) socket.destroy();
  await network.close();
});

/** Bytes that are this process's own now. */
function resident(): number {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8'))![1]) * 1024;
}

test('1,000 VMs that come and go leave nothing behind', { timeout: 120_000 }, async () => {
  const { network, attach } = await listening();
  const steady = await attach();
  steady.resume();
  const cycle = async (index: number): Promise<void> => {
    const socket = await attach();
    const mac = `02540001${index.toString(16).padStart(4, '0')}`;
    const sender = `c0a87f${(16 + (index % 200)).toString(16)}`;
    socket.write(framed(Buffer.from(`ffffffffffff${mac}08060001080006040001${mac}${sender}000000000000c0a87f01`, 'hex')));
    await once(socket, 'data');
    const gone = once(network, 'disconnected');
    socket.destroy();
    await gone;
  };
  const descriptors = (): number => readdirSync('/proc/self/fd').length;
  for (let i = 0; i < 200; i++) await cycle(i);
  const [fds, memory] = [descriptors(), resident()];
  for (let i = 200; i < 1200; i++) await cycle(i);
  assert.ok(descriptors() <= fds + 1, `${fds} descriptors became ${descriptors()}`);
  assert.ok(resident() < memory + (24 << 20), `${memory >> 20} MiB became ${resident() >> 20}`);
  assert.deepEqual([network.portCount, network.stations.size, network.leases.size], [1, 0, 2]);
  assert.equal(network.counters.arp.answered, 1200);
  steady.destroy();
  await network.close();
});
