import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { text } from 'node:stream/consumers';
import { Log } from '../../src/cli/log.ts';
import { NotificationSender } from '../../src/cli/notification-sender.ts';
import { temporaryFolder, until } from '../guest/process.ts';

interface Receiver {
  readonly path: string;
  readonly server: Server;
  /** What each connection brought, in the order in which they came. */
  readonly connections: Promise<string>[];
}

async function receive(): Promise<Receiver> {
  const path = join(temporaryFolder(), 'events.sock');
  const connections: Promise<string>[] = [];
  const server = createServer((socket) => void connections.push(text(socket)));
  server.listen(path).unref();
  await once(server, 'listening');
  return { path, server, connections };
}

function logging(): { log: Log; records: string[] } {
  const records: string[] = [];
  const log = new Log({ isTerminal: false, write: (record) => void records.push(record.replace(/time="[^"]*" |\n$/g, '')) });
  return { log, records };
}

test('§4.6: each event is one JSON object with a newline on a connection of its own, in order', async () => {
  const { path, server, connections } = await receive();
  const { log, records } = logging();
  const sender = new NotificationSender(path, log);
  sender.send('ready');
  sender.send('connection_established', '5a:94:ef:e4:0c:ee');
  sender.send('hypervisor_error');
  sender.send('connection_closed', '5a:94:ef:e4:0c:ee');
  await until(() => connections.length === 4, 'four connections', 2000);
  assert.deepEqual(await Promise.all(connections), [
    '{"notification_type":"ready"}\n',
    '{"notification_type":"connection_established","mac_address":"5a:94:ef:e4:0c:ee"}\n',
    '{"notification_type":"hypervisor_error"}\n',
    '{"notification_type":"connection_closed","mac_address":"5a:94:ef:e4:0c:ee"}\n',
  ]);
  assert.deepEqual(records, []);
  server.close();
});

test('§18.1: without a socket nobody is told, and nothing goes wrong', async () => {
  const { log, records } = logging();
  const sender = new NotificationSender('', log);
  sender.send('ready');
  await sender.close();
  assert.deepEqual(records, []);
});

test('§4.6: the queue has a hundred places; what finds none is lost with a warning', async () => {
  const { path, server, connections } = await receive();
  const { log, records } = logging();
  const sender = new NotificationSender(path, log);
  // One is on its way, a hundred wait.
  for (let i = 0; i < 103; i++) sender.send('connection_established', String(i));
  assert.deepEqual(records, Array(2).fill('level=warning msg="unable to send notification"'));
  await sender.close();
  const got = await Promise.all(connections);
  assert.deepEqual(
    got.map((line) => (JSON.parse(line) as { mac_address: string }).mac_address),
    Array.from({ length: 101 }, (_, i) => String(i)),
  );
  server.close();
});

test('§4.6: an event that finds no receiver is lost with an error, and the next is tried again', async () => {
  const { path, server, connections } = await receive();
  const missing = logging();
  const nobody = new NotificationSender(`${path}.none`, missing.log);
  nobody.send('ready');
  await nobody.close();
  const why = (name: string, reason: string): string =>
    `level=error msg="failed to send notification: dial unix ${name}: connect: ${reason}"`;
  assert.deepEqual(missing.records, [why(`${path}.none`, 'no such file or directory')]);

  const { log, records } = logging();
  const sender = new NotificationSender(path, log);
  sender.send('ready');
  await until(() => connections.length === 1, 'the first');
  server.close();
  await once(server, 'close');
  sender.send('hypervisor_error');
  await until(() => records.length === 1, 'the error');
  assert.deepEqual(records, [why(path, 'no such file or directory')]);
  const again = createServer((socket) => void connections.push(text(socket)));
  again.listen(path).unref();
  await once(again, 'listening');
  sender.send('connection_closed', 'x');
  await until(() => connections.length === 2, 'the next');
  assert.match(await connections[1]!, /connection_closed/);
  again.close();
});

test('at the end the events that wait are sent, and those that come later are not', async () => {
  const { path, server, connections } = await receive();
  const { log, records } = logging();
  const sender = new NotificationSender(path, log);
  for (let i = 0; i < 50; i++) sender.send('connection_closed', String(i));
  await sender.close();
  sender.send('ready');
  await until(() => connections.length >= 50, 'the events');
  assert.equal(
    (await Promise.all(connections)).some((line) => line.includes('ready')),
    false,
  );
  assert.deepEqual([connections.length, records], [50, []]);
  server.close();
});
