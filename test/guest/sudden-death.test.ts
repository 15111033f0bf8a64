/** VMs killed in the middle of a frame, 200 on each kind of link, beside one under load whose bytes are hashed. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import type { SoftGuest } from '../../src/testing/index.ts';
import { type FramePipe, plugInto } from './frame-pipe.ts';
import { Gvproxy } from './gvproxy.ts';
import { randomBytes, sha256 } from './host-servers.ts';
import { attachHyperkit, attachQemu, KNOWN_UUID, startMessageClient } from './link-client.ts';
import { execute, ROOT, until } from './process.ts';
import { missing } from './requirement.ts';

const skip = missing('python3');
const MAC = '5a:94:ef:e4:0c:ee';
const HOST = '192.168.127.254';
const DEATHS = 200;
const BLOB = randomBytes(1 << 20);

/** Frames of VMs that die: a broadcast that everybody hears, one for the gateway and one of 64 KiB for the VM that lives. */
function writeFrames(file: string): void {
  const from = Buffer.from('525400123456', 'hex');
  const arp = Buffer.concat([Buffer.alloc(6, 0xff), from, Buffer.from('08060001080006040001', 'hex'), from, Buffer.alloc(16, 1)]);
  const junk = Buffer.concat([Buffer.from('5a94efe40cdd', 'hex'), from, Buffer.from('0800', 'hex'), Buffer.alloc(86, 0x45)]);
  const large = Buffer.concat([Buffer.from(MAC.replaceAll(':', ''), 'hex'), from, Buffer.from('88b5', 'hex'), Buffer.alloc(60_000, 1)]);
  const frames = [arp, junk, junk, large, arp];
  writeFileSync(
    file,
    Buffer.concat(
      frames.flatMap((frame) => {
        const length = Buffer.alloc(4);
        length.writeUInt32BE(frame.length);
        return [length, frame];
      }),
    ),
  );
}

/** Fetches from the host over and over until told to stop, and hashes each answer. */
class Load {
  transfers = 0;
  #stop = false;
  readonly finished: Promise<void>;

  constructor(guest: SoftGuest, port: number) {
    this.finished = this.#run(guest, port);
    // Awaited at the end: until then a failure is not unhandled.
    this.finished.catch(() => {});
  }

  async #run(guest: SoftGuest, port: number): Promise<void> {
    while (!this.#stop) {
      const socket = await guest.connect(HOST, port);
      const hash = createHash('sha256');
      socket.on('data', (chunk: Buffer) => hash.update(chunk));
      socket.end();
      await once(socket, 'end');
      assert.equal(hash.digest('hex'), sha256(BLOB));
      await guest.ping('192.168.127.1', 10_000);
      this.transfers++;
    }
  }

  async stop(): Promise<void> {
    this.#stop = true;
    await this.finished;
  }
}

function descriptors(gvproxy: Gvproxy): number {
  return readdirSync(`/proc/${gvproxy.process.child.pid}/fd`).length;
}

async function serveBlob(): Promise<Server> {
  const server = createServer({ allowHalfOpen: true }, (socket) => socket.on('error', () => {}).end(BLOB));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return server;
}

/** Flag, what dying-clients.py calls it, and a VM that lives. */
const KINDS: readonly (readonly ['qemu' | 'vpnkit' | 'bess' | 'vfkit', string, (path: string) => Promise<{ pipe: FramePipe }>])[] = [
  ['qemu', 'qemu', attachQemu],
  ['vpnkit', 'vpnkit', (path) => attachHyperkit(path, KNOWN_UUID)],
  ['bess', 'seqpacket', (path) => startMessageClient('seqpacket', path)],
  ['vfkit', 'vfkit', (path) => startMessageClient('vfkit', path)],
];

for (const [kind, link, attach] of KINDS) {
  test(
    `§6.8: ${DEATHS} VMs on -listen-${kind} die in the middle of what they send, and the one under load never notices`,
    { skip },
    async () => {
      const gvproxy = await Gvproxy.start({ kind });
      const blobs = await serveBlob();
      const guest = plugInto((await attach(gvproxy.socket)).pipe, MAC);
      await guest.dhcp();
      await guest.ping('192.168.127.1', 5000);
      const { port } = blobs.address() as AddressInfo;
      const fresh = descriptors(gvproxy);
      await new Load(guest, port).stop();
      // The next stream's socket, opened beforehand.
      await until(() => descriptors(gvproxy) === fresh + 1, 'the descriptors of a network that has connected');
      const before = descriptors(gvproxy);
      const load = new Load(guest, port);
      const frames = join(gvproxy.folder, 'frames');
      writeFrames(frames);
      const program = join(ROOT, 'test/guest/dying-clients.py');
      const { status, stdout, stderr } = await execute('python3', [program, link, gvproxy.socket, String(DEATHS), frames], 60_000);
      assert.deepEqual([status, stdout, stderr], [0, 'all dead\n', '']);
      await load.stop();
      assert.ok(load.transfers > 0, 'there was load');
      assert.deepEqual(guest.errors, []);
      await until(() => descriptors(gvproxy) <= before, `${before} descriptors again, not ${descriptors(gvproxy)}`);

      const newcomer = plugInto((await attach(gvproxy.socket)).pipe, '52:54:00:00:00:01');
      await newcomer.dhcp();
      await newcomer.ping('192.168.127.1', 5000);
      blobs.close();
      assert.equal(await gvproxy.process.kill('SIGTERM'), 0, gvproxy.process.output);
    },
  );
}
