/** The program from start to end, as its callers see it (contract §4). */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { text } from 'node:stream/consumers';
import { execute, GVPROXY, ROOT, Running, temporaryFolder, until } from '../guest/process.ts';

const MAC = '5a:94:ef:e4:0c:ee';

/** Records of a log, as `level: message`. */
function records(log: string): string[] {
  return [...log.matchAll(/^time="[^"]+" level=(\w+) msg=(?:"(.*)"|(\S+))$/gm)].map(
    ([, level, quoted, plain]) => `${level}: ${(quoted ?? plain)!.replaceAll('\\"', '"')}`,
  );
}

/** Writes a configuration file; `FOLDER` in it is a new folder. */
function written(yaml: string): { folder: string; config: string } {
  const folder = temporaryFolder();
  const config = join(folder, 'gvproxy.yaml');
  writeFileSync(config, yaml.replaceAll('FOLDER', folder));
  return { folder, config };
}

async function ended(...argv: string[]): Promise<{ status: number | null; log: string[]; output: string }> {
  const program = new Running(GVPROXY, argv);
  const status = await program.ended;
  return { status, log: records(program.output), output: program.output };
}

/** A VM behind QEMU's socket that has sent one broadcast of an unknown protocol. */
async function plugged(path: string): Promise<Socket> {
  const socket = connect(path).on('error', () => {});
  socket.resume();
  await once(socket, 'connect');
  const frame = Buffer.from(`0000003cffffffffffff${MAC.replaceAll(':', '')}88b5${'00'.repeat(46)}`, 'hex');
  socket.write(frame);
  return socket;
}

async function listening(program: Running, log: () => string = () => program.output): Promise<void> {
  await until(() => log().includes('listening for QEMU') || program.child.exitCode !== null, 'QEMU socket');
  assert.equal(program.child.exitCode, null, log());
}

/** Collects notifications, one a connection. */
async function receiver(path: string): Promise<Promise<string>[]> {
  const events: Promise<string>[] = [];
  const server = createServer((socket) => void events.push(text(socket)));
  server.listen(path).unref();
  await once(server, 'listening');
  return events;
}

test('§4: a start from a file: log file, pid file, warnings, QEMU; SIGTERM removes what was made', async () => {
  const { folder, config } = written(
    [
      'log-file: FOLDER/log',
      'log-level: debug',
      'pid-file: FOLDER/pid',
      'colour: blue',
      'interfaces: { qemu: "unix://FOLDER/vm.sock" }',
    ].join('\n'),
  );
  const program = new Running(GVPROXY, ['-config', config, '--ssh-port', '5']);
  const log = (): string => (existsSync(join(folder, 'log')) ? readFileSync(join(folder, 'log'), 'utf8') : '');
  await listening(program, log);
  assert.equal(readFileSync(join(folder, 'pid'), 'utf8'), String(program.child.pid));
  assert.equal(await program.kill('SIGTERM'), 0);
  assert.equal(program.output, '', 'all records go to the file');
  const [version, machine, argv, ...rest] = records(log());
  assert.match(version!, /^debug: gvproxy version v\d/);
  assert.equal(machine, `debug: ${process.platform}/${process.arch}`);
  assert.equal(argv, `debug: gvproxy -config ${config} --ssh-port 5`);
  assert.deepEqual(
    rest.map((record) => record.replace(/\(there are .*\)/, '').replace(/v\d.*/, 'vN')),
    [
      `warning: ${config}:4:1: unknown key colour is ignored `,
      'warning: flag -ssh-port is not available with a configuration file: stack.forwards has the forwards',
      'info: gvproxy version vN',
      'info: waiting for clients...',
      `info: listening for QEMU on unix://${folder}/vm.sock`,
      'error: gvproxy exiting: signal caught',
    ],
  );
  for (const file of ['pid', 'vm.sock']) assert.equal(existsSync(join(folder, file)), false, file);
});

test('§2.3, §3.1: -ssh-port=PORT is not warned of, only the word alone; an unknown log-level is', async () => {
  const { config } = written('log-level: loud\ninterfaces: { qemu: tcp://127.0.0.1:99999 }');
  const { log } = await ended('-config', config, '-ssh-port=5');
  assert.deepEqual(
    log.filter((record) => record.startsWith('warning')),
    ['warning: unknown log level "loud": info is used'],
  );
});

test('§3.4: addresses are the file’s, and a flag that says something else is told that it has no effect', async () => {
  const { config } = written('stack:\n  ipv4: true\n  ipv6: true\n  subnet: 10.9.0.0/24\ninterfaces: { qemu: tcp://127.0.0.1:99999 }');
  const { log } = await ended('-config', config, '-ipv6=false', '--subnet', '10.8.0.0/24', '-deviceIP', '10.9.0.9', '-ipv4');
  assert.deepEqual(
    log.filter((record) => record.startsWith('warning')).map((record) => record.replaceAll('\\', '')),
    [
      'warning: flag -subnet has no effect: stack.subnet of the configuration file is 10.9.0.0/24',
      'warning: flag -ipv6 has no effect: stack.ipv6 of the configuration file is true',
    ],
  );
});

test('§2.3 row 1: a file that can not be read or parsed ends the start with 1, on standard error', async () => {
  const folder = temporaryFolder();
  const log = ['-log-file', join(folder, 'log')];
  const missing = await ended('-config', '/nonexistent/x.yaml', ...log);
  const reason = 'failed to read config file: open /nonexistent/x.yaml: no such file or directory (flag -config)';
  assert.deepEqual([missing.status, missing.log], [1, [`fatal: ${reason}`]]);
  mkdirSync(join(folder, 'dir'));
  assert.match((await ended('-config', join(folder, 'dir'), ...log)).log[0]!, /^fatal: failed to read config file: .*director/);
  const { config } = written('stack:\n  mtu: many\n');
  const wrong = await ended('-config', config, ...log);
  const why = `fatal: failed to parse configuration: ${config}:2:8: stack.mtu: want a whole number, not "many"`;
  assert.deepEqual([wrong.status, wrong.log.map((record) => record.replaceAll('\\', ''))], [1, [why]]);
  assert.equal(existsSync(join(folder, 'log')), false);
});

test('§2.3: what is refused after the log file was opened is told there', async () => {
  const folder = temporaryFolder();
  const { status, output } = await ended('-log-file', join(folder, 'log'), '-subnet', 'nonsense');
  assert.deepEqual([status, output], [1, '']);
  assert.deepEqual(records(readFileSync(join(folder, 'log'), 'utf8')), ['fatal: failed to parse subnet: invalid CIDR address: nonsense']);
  const { config } = written('log-file: /nonexistent/log');
  const { log } = await ended('-config', config);
  assert.match(log[0]!, /^fatal: unable to open log file \/nonexistent\/log \(log-file in the configuration file: open /);
});

test("-log-format json writes every record as an object, from the file's key as well", async () => {
  const { config } = written('log-format: json');
  for (const argv of [
    ['-log-format', 'json', '-mtu', '-5'],
    ['-config', config, '-mtu', '-5'],
  ]) {
    const { status, output } = await ended(...argv);
    const lines = output
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { level: number; time: number; msg: string });
    assert.equal(status, 1);
    assert.deepEqual(
      lines.map(({ level }) => level),
      [30, 50],
    );
    assert.match(lines[1]!.msg, /^gvproxy exiting: mtu is out of range: -5 \(flag -mtu takes 68 to 65535\)$/);
    assert.ok(Math.abs(lines[0]!.time - Date.now()) < 60_000);
  }
  const { status, log } = await ended('-log-format', 'xml');
  assert.deepEqual([status, log], [1, ['fatal: log-format can\'t be "xml": want text or json']]);
});

test('§4.2: what fails once the network is built ends the program with 1 and says which key asks for it', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const taken = written(`stack: { forwards: { 127.0.0.1:${port}: 192.168.127.2:22 } }`);
  const bind = `cannot add network services: listen tcp 127.0.0.1:${port}: bind: address already in use (stack.forwards asks for it)`;
  const cases: [string, string][] = [
    [taken.config, bind],
    [written('stack: { mtu: 67 }').config, 'mtu is out of range: 67 (stack.mtu takes 68 to 65535)'],
    [written('stack: { capture-file: /nonexistent/c }').config, 'open /nonexistent/c: no such file or directory (stack.capture-file)'],
  ];
  for (const [config, reason] of cases) {
    const { status, log } = await ended('-config', config);
    assert.deepEqual([status, log.slice(1)], [1, [`error: gvproxy exiting: ${reason}`]]);
  }
  server.close();
});

test('§4.6: ready, a VM that comes, a VM that goes, each told once; then the program ends', async () => {
  const folder = temporaryFolder();
  const events = await receiver(join(folder, 'events.sock'));
  const program = new Running(GVPROXY, [
    ...['-ssh-port', '-1', '-notification', `unix://${folder}/events.sock`, '-listen-qemu', `unix://${folder}/vm.sock`],
  ]);
  await listening(program);
  const socket = await plugged(join(folder, 'vm.sock'));
  await until(() => events.length === 2, 'the VM to be told of');
  socket.destroy();
  assert.equal(await program.ended, 0);
  await until(() => events.length === 3, 'the end of the VM to be told of');
  assert.deepEqual(await Promise.all(events), [
    '{"notification_type":"ready"}\n',
    `{"notification_type":"connection_established","mac_address":"${MAC}"}\n`,
    `{"notification_type":"connection_closed","mac_address":"${MAC}"}\n`,
  ]);
});

test('§4.6: a VM that a signal takes with it is told of before the program is gone', async () => {
  const { folder, config } = written('notification: FOLDER/events.sock\ninterfaces: { qemu: "unix://FOLDER/vm.sock" }\n');
  const events = await receiver(join(folder, 'events.sock'));
  const program = new Running(GVPROXY, ['-config', config]);
  await listening(program);
  await plugged(join(folder, 'vm.sock'));
  await until(() => events.length === 2, 'the VM to be told of');
  assert.equal(await program.kill('SIGTERM'), 0);
  await until(() => events.length === 3, 'the end of the VM to be told of');
  assert.match(await events[2]!, /connection_closed/);
});

test('§4.6: a link that can not be opened is a hypervisor_error, and a receiver that is not there ends nothing', async () => {
  const folder = temporaryFolder();
  const events = await receiver(join(folder, 'events.sock'));
  const argv = ['-ssh-port', '-1', '-listen-qemu', 'unix:///nonexistent/vm.sock', '-notification'];
  assert.equal((await ended(...argv, `unix://${folder}/events.sock`)).status, 1);
  await until(() => events.length === 2, 'two events');
  assert.deepEqual(await Promise.all(events), ['{"notification_type":"ready"}\n', '{"notification_type":"hypervisor_error"}\n']);
  const { status, log } = await ended(...argv, 'unix:///nonexistent/events.sock');
  const lost = 'error: failed to send notification: dial unix /nonexistent/events.sock: connect: no such file or directory';
  assert.equal(status, 1);
  assert.deepEqual(log.filter((record) => record === lost).length, 2, log.join('\n'));
});

test('§19: a token that can not be read or is too short, and guests’ access of no known kind, end the start', async () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'short'), 'secret\n');
  const cases: [string[], RegExp][] = [
    [
      ['-api-token-file', join(folder, 'none')],
      /^error: gvproxy exiting: cannot read the API token: open .*none: no such file or directory/,
    ],
    [['-api-token-file', join(folder, 'short')], /^error: gvproxy exiting: the API's token has 6 characters; it must have at least 32$/],
    [['-guest-api', 'some'], /^fatal: guest-api can't be "some": want full, read-only or off$/],
  ];
  for (const [argv, last] of cases) {
    const { status, log } = await ended('-ssh-port', '-1', ...argv);
    assert.equal(status, 1, log.join('\n'));
    assert.match(log.at(-1)!, last);
  }
});

test('§5.1: a QEMU socket of another kind is refused where it would be opened: unixpacket by name', async () => {
  const cases: [string, string][] = [
    ['unixpacket:///nonexistent/x', 'unixpacket is not supported by this version of guestwire'],
    ['unixgram:///nonexistent/x', 'unexpected scheme'],
    ['/nonexistent/x', 'not a URL (a path of a unix socket follows unix://)'],
  ];
  for (const [url, why] of cases) {
    const { status, log } = await ended('-ssh-port', '-1', '-listen-qemu', url);
    const wanted = 'want unix:///path/to/socket, tcp://host:port or vsock://:port';
    assert.deepEqual([status, log.at(-1)], [1, `error: gvproxy exiting: qemu listen error: cannot listen on "${url}": ${why}; ${wanted}`]);
  }
});

test('guestwire config prints the file that flags amount to, and refuses as a start would', async () => {
  const guestwire = (...argv: string[]) => execute(join(ROOT, 'bin/guestwire'), ['config', ...argv]);
  const { config } = written('colour: blue\nstack: { subnet: 10.0.0.0/24 }\n');
  const { status, stdout, stderr } = await guestwire('-config', config, '-mtu', '4000', '-notification', 'unix:///run/x.sock');
  assert.equal(status, 0);
  assert.match(stdout, /^log-level: info\nnotification: \/run\/x\.sock\nstack:\n {2}mtu: 4000\n {2}subnet: 10\.0\.0\.0\/24\n/);
  assert.match(stderr, /level=warning msg=".*:1:1: unknown key colour is ignored/);
  const wrong = await guestwire('-ssh-port', '80');
  assert.deepEqual([wrong.status, wrong.stdout, records(wrong.stderr)], [1, '', ['fatal: ssh-port value must be between 1024 and 65535']]);
  assert.equal((await guestwire('-foo')).status, 2);
});
