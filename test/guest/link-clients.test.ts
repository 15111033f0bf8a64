/** Clients that attach as vfkit, krunkit, User Mode Linux, HyperKit and a parent process do, against the real program. No VM, no root. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { documented } from './documented.ts';
import { framePipe, plugInto } from './frame-pipe.ts';
import { Gvproxy, type GvproxyOptions } from './gvproxy.ts';
import { attachHyperkit, KNOWN_UUID, startMessageClient } from './link-client.ts';
import { collectNotifications, type Notification } from './notified.ts';
import { temporaryFolder, until } from './process.ts';
import { missing } from './requirement.ts';
import { SegmentOffload } from './segment-offload.ts';
import { runSoftErrands } from './soft-errands.ts';

const skip = missing('python3');
const MAC = '5a:94:ef:e4:0c:ee';
const OTHER_MAC = '52:54:00:12:34:56';
const SIZE = 3_000_000;

interface Notified {
  readonly gvproxy: Gvproxy;
  readonly notifications: readonly Notification[];
}

async function startNotified(kind: NonNullable<GvproxyOptions['kind']>, capture = true): Promise<Notified> {
  const events = join(temporaryFolder(), 'events.sock');
  const notifications = await collectNotifications(events);
  const gvproxy = await Gvproxy.start({ kind, capture, flags: ['-notification', `unix://${events}`] });
  return { gvproxy, notifications };
}

/** The life of one VM with `MAC`, as `-notification` told it. */
async function sawLife(notifications: readonly Notification[], ...more: Notification[]): Promise<void> {
  const expected = [
    { notification_type: 'ready' },
    { notification_type: 'connection_established', mac_address: MAC },
    ...more,
    { notification_type: 'connection_closed', mac_address: MAC },
  ];
  await until(() => notifications.length >= expected.length, `${expected.length} notifications, not ${JSON.stringify(notifications)}`);
  const byType = (a: Notification, b: Notification): number => a.notification_type.localeCompare(b.notification_type);
  assert.deepEqual(notifications.toSorted(byType), expected.toSorted(byType));
}

test('§6.5, §6.8: a SEQPACKET client is online, and gvproxy ends when it is killed', { skip }, async () => {
  const { gvproxy, notifications } = await startNotified('bess');
  const { process: client, pipe } = await startMessageClient('seqpacket', gvproxy.socket);
  await runSoftErrands(plugInto(pipe, MAC), SIZE, gvproxy.sshPort);
  await client.kill();
  assert.equal(await gvproxy.process.ended, 0, gvproxy.process.output);
  assert.match(gvproxy.process.output, /msg="cannot receive packets from @, disconnecting: cannot read size from socket: EOF"/);
  await sawLife(notifications);
});

for (const [kind, how] of [
  ['vfkit', 'that says VFKT first'],
  ['silent', 'whose first datagram is a frame'],
  ['krunkit', 'bound where krunkit binds'],
] as const) {
  test(`§6.6, §6.8: a unixgram client ${how} is online, and gvproxy ends when it can no longer be reached`, { skip }, async () => {
    const { gvproxy, notifications } = await startNotified('vfkit');
    const { process: client, pipe } = await startMessageClient(kind, gvproxy.socket);
    const guest = plugInto(pipe, MAC);
    await runSoftErrands(guest, SIZE, gvproxy.sshPort);
    await client.kill();
    // Datagrams have no end: a frame to the VM finds nobody there.
    connect(gvproxy.sshPort, '127.0.0.1').on('error', () => {});
    assert.equal(await gvproxy.process.ended, 0, gvproxy.process.output);
    await sawLife(notifications);
  });
}

test('§6.6, §18.3: vfkit that starts again while gvproxy runs is served at its new address', { skip }, async () => {
  const gvproxy = await Gvproxy.start({ kind: 'vfkit', flags: (folder) => ['-listen', `unix://${folder}/api.sock`] });
  await until(() => existsSync(join(gvproxy.folder, 'api.sock')), 'the socket of the API');
  assert.ok(performance.now() - gvproxy.process.started < 5000, 'both sockets are there within 5 s');
  const first = await startMessageClient('vfkit', gvproxy.socket);
  await runSoftErrands(plugInto(first.pipe, MAC), 100_000, gvproxy.sshPort);
  const second = await startMessageClient('vfkit', gvproxy.socket);
  await first.process.kill();
  await until(() => gvproxy.process.output.includes('disconnecting'), 'the end of the first');
  await runSoftErrands(plugInto(second.pipe, MAC), 100_000, gvproxy.sshPort);
  second.process.child.stdin?.end();
  await second.process.ended;
  assert.equal(await gvproxy.process.ended, 0, gvproxy.process.output);
  const left = readdirSync(gvproxy.folder).filter((name) => name.endsWith('.sock'));
  assert.equal(left.length, 1, `of ${left.join(', ')} there is only that of the killed one`);
  assert.match(left[0]!, /^vfkit-/);
});

test('§6: krunkit with offloading and no header is online: 64 KiB frames both ways, from it with partial checksums', { skip }, async () => {
  const flags = (folder: string): readonly string[] => documented('krunkit with offloading', { '/run/vm.sock': `${folder}/vm.sock` }).flags;
  const gvproxy = await Gvproxy.start({ kind: 'none', flags });
  await runOffloaded(gvproxy, false);
});

test('a unixgram client with virtio-net headers is online: 64 KiB segments both ways, with partial checksums', { skip }, async () => {
  const gvproxy = await Gvproxy.start({ kind: 'none', flags: (folder) => ['-link', `vfkit+unixgram://${folder}/vm.sock?vnet_hdr=12`] });
  await runOffloaded(gvproxy, true);
});

async function runOffloaded(gvproxy: Gvproxy, described: boolean): Promise<void> {
  await until(() => existsSync(gvproxy.socket) || gvproxy.process.child.exitCode !== null, `the socket:\n${gvproxy.process.output}`);
  const { process: client, pipe } = await startMessageClient('krunkit', gvproxy.socket);
  const card = new SegmentOffload(pipe, described);
  await runSoftErrands(plugInto(card, MAC), SIZE, gvproxy.sshPort);
  assert.ok(card.largestSent > 30_000, `sent frames of up to ${card.largestSent} bytes`);
  assert.ok(card.largestReceived > 30_000, `received frames of up to ${card.largestReceived} bytes`);
  await client.kill();
  assert.equal(await gvproxy.process.kill('SIGTERM'), 0, gvproxy.process.output);
}

test('§6.3, §6.8: HyperKit’s handshake, several VMs, and gvproxy goes on when they go', async () => {
  const { gvproxy, notifications } = await startNotified('vpnkit');
  const known = await attachHyperkit(gvproxy.socket, KNOWN_UUID);
  const expected = Buffer.alloc(258);
  expected.set(Buffer.from('01dc05ea055a94efe40cee', 'hex'));
  assert.deepEqual(known.answer, expected);
  await runSoftErrands(plugInto(known.pipe, MAC), SIZE, gvproxy.sshPort);

  const unknown = await attachHyperkit(gvproxy.socket, '00000000-0000-0000-0000-000000000000');
  assert.deepEqual(unknown.answer.subarray(0, 5), expected.subarray(0, 5));
  assert.equal(unknown.answer[5]! & 3, 2, 'a local address of one station');
  const second = plugInto(unknown.pipe, OTHER_MAC);
  assert.notEqual((await second.dhcp()).address, '192.168.127.2');

  known.socket.destroy();
  await until(() => notifications.some(({ notification_type: type }) => type === 'connection_closed'), 'the end of the first');
  await second.ping('192.168.127.1', 5000);
  unknown.socket.destroy();
  await until(() => notifications.length === 5, `both ends, not ${JSON.stringify(notifications)}`);
  assert.deepEqual(
    notifications.map(({ notification_type: type, mac_address: mac }) => [type, mac]),
    [
      ['ready', undefined],
      ['connection_established', MAC],
      ['connection_established', OTHER_MAC],
      ['connection_closed', MAC],
      ['connection_closed', OTHER_MAC],
    ],
  );
  const third = await attachHyperkit(gvproxy.socket, KNOWN_UUID);
  await plugInto(third.pipe, MAC).dhcp();
  assert.equal(await gvproxy.process.kill('SIGTERM'), 0, gvproxy.process.output);
});

test('§6.2, §6.8: a parent with two pipes is online, and gvproxy ends with its standard input', async () => {
  const { gvproxy, notifications } = await startNotified('stdio');
  const { stdin, stdout } = gvproxy.process.child;
  await runSoftErrands(plugInto(framePipe(stdout!, stdin!, 'vpnkit'), MAC), SIZE, gvproxy.sshPort);
  stdin!.end();
  assert.equal(await gvproxy.process.ended, 0, gvproxy.process.output);
  await sawLife(notifications, { notification_type: 'hypervisor_error' });
});
