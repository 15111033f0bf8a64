import assert from 'node:assert/strict';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { examine, type Host } from '../../../src/cli/commands/doctor-checks.ts';
import { execute, ROOT, temporaryFolder } from '../../guest/process.ts';
import { call, cells } from './world.ts';

const FILES: Readonly<Record<string, string>> = {
  '/proc/self/limits': 'Limit  Soft  Hard  Units\nMax open files            65536                65536                files\n',
  '/proc/sys/net/core/rmem_max': '4194304\n',
  '/proc/sys/net/core/wmem_max': '4194304\n',
  '/proc/sys/net/ipv4/ping_group_range': '0\t2147483647\n',
  '/proc/sys/net/ipv4/ip_unprivileged_port_start': '80\n',
  '/etc/resolv.conf': '# by hand\nnameserver 9.9.9.9\n  nameserver 1.1.1.1\n',
};

/** A host on which all is well, but for `changes` and other `files`. */
function host(changes: Partial<Host> = {}, files: Readonly<Record<string, string | undefined>> = {}): Host {
  return {
    ...{ node: 'v20.19.0', platform: 'linux', processor: 'x64', kernel: '6.12.0', uid: 1000, noCalls: undefined, qemu: [7, 2] },
    read: (path) => ({ ...FILES, ...files })[path],
    opens: () => true,
    exists: () => true,
    tries: () => true,
    ...changes,
  };
}

test('nothing is to be done about a host on which all is well', () => {
  const findings = examine(host());
  assert.ok(findings.length >= 10);
  assert.deepEqual(
    findings.filter(({ verdict, advice }) => verdict !== 'ok' || advice !== undefined),
    [],
  );
  assert.equal(findings.find(({ what }) => what === 'resolvers')?.found, '9.9.9.9, 1.1.1.1');
});

test('what is missing is told with what to do about it', () => {
  for (const [what, verdict, advice, changes, files] of [
    ['Node', 'fail', /20\.19/, { node: 'v20.18.1' }, {}],
    ['system calls', 'fail', /x64 or arm64/, { noCalls: 'darwin-x64' }, {}],
    ['kernel', 'warn', /6\.9/, { tries: (option: string) => option !== 'peek offset' }, {}],
    ['kernel', 'warn', /over IPv6/, { tries: (option: string) => option !== 'peek offset of IPv6' }, {}],
    [
      'descriptors',
      'warn',
      /LimitNOFILE/,
      {},
      { '/proc/self/limits': 'Max open files            1024                 1024                 files\n' },
    ],
    ['socket buffers', 'warn', /sysctl net\.core\.rmem_max=4194304/, {}, { '/proc/sys/net/core/wmem_max': '212992\n' }],
    ['ping', 'warn', /sysctl net\.ipv4\.ping_group_range/, { tries: (option: string) => !option.includes('ping') }, {}],
    ['ports', 'warn', /ip_unprivileged_port_start/, {}, { '/proc/sys/net/ipv4/ip_unprivileged_port_start': '1024\n' }],
    ['resolvers', 'warn', /resolv\.conf/, {}, { '/etc/resolv.conf': '' }],
    ['TAP', 'warn', /modprobe tun/, { opens: () => false, exists: () => false }, {}],
    ['TAP', 'warn', /run as root/, { opens: () => false }, {}],
    ['vsock', 'warn', /modprobe vsock/, { tries: (option: string) => option !== 'vsock' }, {}],
    ['vsock', 'warn', /modprobe vhost_vsock/, { opens: () => false, exists: () => false }, {}],
    ['QEMU', 'warn', /--qemu/, { qemu: undefined }, {}],
    ['QEMU', 'warn', /-netdev stream/, { qemu: [6, 2] as const }, {}],
  ] as const) {
    const finding = examine(host(changes, files)).find((each) => each.what === what)!;
    assert.equal(finding.verdict, verdict, what);
    assert.match(finding.advice ?? '', advice);
  }
});

test('raw sockets and root make up for ping sockets and low ports', () => {
  const findings = examine(
    host({ uid: 0, tries: (what) => what !== 'ping' }, { '/proc/sys/net/ipv4/ip_unprivileged_port_start': '1024\n' }),
  );
  assert.deepEqual(
    findings.filter(({ verdict }) => verdict !== 'ok'),
    [],
  );
});

test('this host, which runs the tests, can run guestwire', async () => {
  const { status, stdout } = await execute(join(ROOT, 'bin/guestwire'), ['doctor']);
  assert.equal(status, 0, stdout);
  const [head, ...rows] = cells(stdout);
  assert.deepEqual(head, ['verdict', 'what', 'found', 'advice']);
  assert.deepEqual(
    rows.slice(0, 2).map(([verdict, what]) => [verdict, what]),
    [
      ['ok', 'Node'],
      ['ok', 'system calls'],
    ],
  );
  assert.equal(rows[0]![2], process.version);
  const { findings } = JSON.parse((await call(['doctor', '--json'])).stdout) as { findings: { what: string }[] };
  assert.deepEqual(
    findings.map(({ what }) => what),
    rows.map(([, what]) => what),
  );
  assert.match((await call(['doctor'], { terminal: true })).stdout, /^\S+ok {2}\S+ {2}Node/);
  const plain = await call(['doctor'], { terminal: true, variables: { TERM: 'dumb' } });
  assert.match(plain.stdout, /^ok {4}Node/);
});

test('where koffi is missing that is what fails', async () => {
  const folder = temporaryFolder();
  for (const name of ['bin', 'dist', 'package.json']) cpSync(join(ROOT, name), join(folder, name), { recursive: true });
  const { status, stdout } = await execute(join(folder, 'bin/guestwire'), ['doctor']);
  assert.equal(status, 1);
  assert.match(stdout, /^fail\tsystem calls\t.*koffi.*\tuse Linux on x64 or arm64, and install again with npm ci/m);
});
