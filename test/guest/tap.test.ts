/** TAP links, in a network namespace of this process: what is on the other side of the interface is a packet socket. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import koffi from 'koffi';
import { openTapLink } from '../../src/link/tap.ts';
import { MSG_DONTWAIT, SO_RCVBUF, SOCK_NONBLOCK, SOCK_RAW, SOL_SOCKET } from '../../src/system/constants.ts';
import { EAGAIN } from '../../src/system/errno.ts';
import { check } from '../../src/system/error.ts';
import { setOption } from '../../src/system/socket-options.ts';
import { addressOf, bindSocket, close, recv, send, socket } from '../../src/system/syscalls.ts';
import { complies, type LinkAdapter } from '../link/compliance.ts';
import type { VmEnd } from '../link/vm-ends.ts';
import { numbered, numberOf, World } from '../link/world.ts';
import { missing } from './requirement.ts';

const CLONE_NEWNET = 0x40000000;
const AF_PACKET = 17;
const SOL_PACKET = 263;
const PACKET_IGNORE_OUTGOING = 23;
const ETH_P_ALL = 3;
/** The largest MTU that a TAP interface has. */
const MTU = 65_521;

const IP = 'ip';
const skip = missing('root', 'tun', IP);

/** Standard output. */
function ip(...args: string[]): string {
  return execFileSync(IP, args, { encoding: 'utf8', stdio: 'pipe' });
}

function up(name: string): void {
  ip('link', 'set', name, 'mtu', String(MTU), 'up');
}

/** Whoever has the interface. */
class PacketEnd implements VmEnd {
  readonly ended = false;
  readonly #fd: number;
  readonly #bytes: Uint8Array = new Uint8Array(new ArrayBuffer(70_000));
  readonly #address: number = addressOf(this.#bytes.buffer as ArrayBuffer);

  constructor(name: string) {
    this.#fd = check(socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, 0), 'socket');
    setOption(this.#fd, SOL_SOCKET, SO_RCVBUF, 4 << 20);
    check(setOption(this.#fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1), 'PACKET_IGNORE_OUTGOING');
    const index = Number(/^(\d+):/.exec(ip('-o', 'link', 'show', name))![1]);
    const view = new DataView(this.#bytes.buffer);
    view.setUint16(0, AF_PACKET, true);
    view.setUint16(2, ETH_P_ALL);
    view.setInt32(4, index, true);
    check(bindSocket(this.#fd, this.#address, 20), 'bind');
  }

  send(frame: Uint8Array): boolean {
    this.#bytes.set(frame);
    return check(send(this.#fd, this.#address, frame.length, MSG_DONTWAIT), 'send') >= 0;
  }

  receive(): Uint8Array | null {
    const got = recv(this.#fd, this.#address, this.#bytes.length, MSG_DONTWAIT);
    if (got === -EAGAIN) return null;
    return this.#bytes.slice(0, check(got, 'recv'));
  }

  close(): void {
    close(this.#fd);
  }
}

function adapter(offload: boolean): LinkAdapter {
  return {
    name: `TAP${offload ? ' with offload' : ''}`,
    frames: Number(process.env.LINK_FRAMES ?? 1_000_000) / 10,
    smallest: 14,
    empty: false,
    largest: MTU + 14,
    oversize: null,
    lossless: false,
    vms: 1,
    end: 'unknown',
    reconnects: false,
    // The interface adds and removes them.
    vnet: false,
    async open(environment) {
      const link = openTapLink({ device: 'gw%d', offload }, environment);
      const name = link.address.slice('tap:'.length);
      up(name);
      return { link, attach: () => new PacketEnd(name) };
    },
  };
}

if (skip === false) {
  // From here on all that this thread opens, and the programs it starts, is in a namespace that ends with the process.
  if (koffi.load(null).func('int unshare(int)')(CLONE_NEWNET) !== 0) throw new Error(`unshare: errno ${koffi.errno()}`);
  writeFileSync('/proc/sys/net/ipv6/conf/default/disable_ipv6', '1');
  complies(adapter(false));
  complies(adapter(true));
}

test('a TAP link loses frames while its interface is down, and ends with it', { skip }, async () => {
  const world = new World();
  ip('tuntap', 'add', 'dev', 'br-gw', 'mode', 'tap');
  const link = openTapLink({ device: 'br-gw', offload: false }, world.environment);
  assert.deepEqual([link.address, world.ports[0]!.name], ['tap:br-gw', 'br-gw']);
  const { counters } = world.ports[0]!;
  assert.ok(world.send(world.ports[0]!, numbered(1, 60)));
  await world.until(() => counters.txDropped === 1, 'a loss');
  up('br-gw');
  const end = new PacketEnd('br-gw');
  assert.ok(world.send(world.ports[0]!, numbered(2, 60)));
  let frame: Uint8Array | null = null;
  await world.until(() => (frame = end.receive()) !== null, 'a frame');
  assert.equal(numberOf(frame!), 2);
  end.close();
  ip('link', 'del', 'br-gw');
  await world.until(() => world.events.includes('closed'), 'the end of the link');
  assert.deepEqual(world.events, ['connected 0', 'disconnected 0: cannot read size from socket: file descriptor in bad state', 'closed']);
  assert.equal(world.ports.length, 0);
  world.close();
});

test('a TAP link with offload takes segments as the kernel gives them, and gives it such', { skip }, async () => {
  const world = new World();
  const link = openTapLink({ device: 'gw-off', offload: true }, world.environment);
  up('gw-off');
  ip('addr', 'add', '10.9.8.1/24', 'dev', 'gw-off');
  ip('neigh', 'add', '10.9.8.2', 'lladdr', '5a:94:ef:e4:0c:ee', 'dev', 'gw-off');
  const port = world.ports[0]!;
  assert.ok(port.offload && port.largestFrame > 65_000);
  const headers: Uint8Array[] = [];
  world.onFrame = (_, frame, at) => {
    // IPv4, UDP.
    if (frame[12] === 8 && frame[13] === 0 && frame[23] === 17) headers.push(world.arena.bytes.slice(at - 12, at));
  };
  const client = execFileSync('bash', ['-c', 'exec 3<>/dev/udp/10.9.8.2/9; echo -n hello >&3; echo sent'], { encoding: 'utf8' });
  assert.equal(client, 'sent\n');
  await world.until(() => headers.length > 0, 'a datagram');
  // Its checksum is to be completed, from byte 34 on, six bytes further.
  assert.deepEqual([headers[0]![0], headers[0]![6], headers[0]![8]], [1, 34, 6]);
  link.close();
  assert.throws(() => ip('link', 'show', 'gw-off'), /does not exist/);
  world.close();
});
