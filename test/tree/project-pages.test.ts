/** SECURITY.md and CONTRIBUTING.md name files, tests, commands and flags that there are. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { GVPROXY_FLAGS } from '../../src/cli/gvproxy-flags.ts';
import { parse } from 'yaml';
import { ROOT } from '../guest/process.ts';

const SECURITY = readFileSync(join(ROOT, 'SECURITY.md'), 'utf8');
const CONTRIBUTING = readFileSync(join(ROOT, 'CONTRIBUTING.md'), 'utf8');

/** The tests that SECURITY.md means by the files it names: one that is renamed, or goes, fails here until the page is looked at. */
const DEFENCES: Record<string, readonly string[]> = {
  'test/fuzz/fuzz.test.ts': ['the corpus, and a minute of what can be made of it, finds no fault'],
  'test/gateway/gateway.test.ts': ['garbage of every length and shape never throws, and every frame is accounted for'],
  'test/flow/tcp/model/programs.test.ts': ['programs ${first} to ${last} deliver every byte once, in order, and leave nothing behind'],
  'test/fuzz/libslirp-cves.test.ts': [
    'lengths beyond the frame: nothing behind it is sent back, to the VM or to a host',
    'TFTP is refused, whatever is asked: no file of the host can be named',
  ],
  'test/fuzz/libslirp-cves-ipv6.test.ts': [
    'payload lengths beyond the frame: nothing behind it is sent back, to the VM or to a host',
    'who makes addresses up by the thousand pushes out only its own',
    'who begins datagrams by the thousand and ends none leaves memory for the others',
  ],
  'test/flow/policy.test.ts': ['credentials of the cloud are out of reach in both versions of IP, unless that is wanted'],
  'test/tree/imports.test.ts': ['the limits page names values that stand in the code'],
  'test/host/exhausted.test.ts': ['a process out of descriptors says so, waits without spinning, and loses no connection that waited'],
  'test/guest/soak.test.ts': ['a minute of mixed traffic loses nothing and leaves nothing behind'],
  'test/runtime/fair-shares.test.ts': [
    'never lends more than the limit, and something to whoever holds nothing as long as anything is left',
  ],
  'test/switch/many-vms.test.ts': [
    'VMs that are kept apart ping the gateway and nobody else, also by way of the gateway',
    'VMs that are kept apart don’t meet on the host’s loopback, where ports are forwarded',
    'a VM that doesn’t read loses what is sent to it, and the others lose nothing',
  ],
  'test/switch/guard.test.ts': [
    'a MAC address stays with the VM that uses it, and moves once that has been silent or has gone',
    'a VM with a lease sends from its own IPv4 address and no other',
  ],
  'test/switch/ipv6-guard.test.ts': [
    'an address is the first VM’s that sends from it, answers for it or tests it, until that has gone',
    'what a kernel makes of a MAC address is that VM’s, though another came first',
  ],
  'test/flow/tcp/handshake.test.ts': ['refuses what the policy blocks without dialling'],
  'test/flow/udp/engine.test.ts': [
    'blocked destinations are dropped, unserved ports of the gateway refused',
    'a full table makes room by the flow quiet longest; every socket is closed',
  ],
  'test/api/access.test.ts': [
    'pages in a browser may not use a TCP listener: by their origin, by a name that was rebound, by what the browser says',
    'pages in a guest’s browser may not use the API',
    'a guest may be let look only, or not at all',
    '§13.1: guests have the forwarder on port 80 of the gateway, and nothing else',
    '§19 #724: the token is wanted of guests only, unless it is wanted everywhere',
  ],
  'test/service/dns/pattern-search.test.ts': ['gives up a search that takes for ever, and searches for that VM again after a pause'],
  'test/config/re2.test.ts': ['a zone answers by an expression, and one that would backtrack for hours is answered at once'],
  'test/service/dns/forwarder.test.ts': [
    'uses another id for each attempt',
    'accepts an answer only with the id and the question of the attempt',
  ],
  'test/forward/unix-forward.test.ts': [
    'what is no socket, or is listened on, stays',
    'a file that has taken the place of ours is left to its owner',
  ],
};

test('each defence of SECURITY.md is held by a test that there is', () => {
  const rows = SECURITY.split('\n').filter((line) => /^\| .*\| .*`test\//.test(line));
  const named = rows.flatMap((row) => [...row.matchAll(/`(test\/[\w./-]+)`/g)].map(([, path]) => path!));
  assert.ok(rows.length >= 12, String(rows.length));
  assert.deepEqual([...new Set(named)].toSorted(), Object.keys(DEFENCES).toSorted());
  for (const [file, titles] of Object.entries(DEFENCES)) {
    const source = readFileSync(join(ROOT, file), 'utf8');
    for (const title of titles) assert.ok(/test\(['`]$/.test(source.split(title)[0]!), `${file}: ${title}`);
  }
});

for (const [name, page] of Object.entries({ 'SECURITY.md': SECURITY, 'CONTRIBUTING.md': CONTRIBUTING })) {
  test(`${name} names files, commands and flags that there are`, () => {
    const paths = [...page.matchAll(/`((?:test|docs|src|contrib|\.ci)\/[\w./-]+|[A-Z]+\.md)`/g)].map(([, path]) => path!);
    assert.ok(paths.length >= 4, paths.join());
    for (const path of paths) assert.ok(existsSync(join(ROOT, path)), path);
    const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { scripts: Record<string, string> };
    for (const [, script] of page.matchAll(/npm run ([\w:-]+)/g)) assert.ok(Object.hasOwn(scripts, script!), script);
    for (const [, flag] of page.matchAll(/`-([a-z][\w-]+)/g)) assert.ok(Object.hasOwn(GVPROXY_FLAGS, flag!), flag);
  });
}

test('a release is published by commands that there are, with provenance', () => {
  const workflow = parse(readFileSync(join(ROOT, '.github/workflows/release.yml'), 'utf8')) as {
    permissions: Record<string, string>;
    jobs: { publish: { steps: { run?: string }[] } };
  };
  assert.deepEqual(workflow.permissions, { contents: 'read', 'id-token': 'write' });
  const commands = workflow.jobs.publish.steps.flatMap(({ run }) => run ?? []);
  const { scripts, publishConfig } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>;
    publishConfig: unknown;
  };
  assert.deepEqual(publishConfig, { access: 'public', provenance: true });
  const named = commands.flatMap((command) => [...command.matchAll(/^npm run ([\w:-]+)$/g)].map(([, name]) => name!));
  assert.deepEqual(named, ['check', 'nodes']);
  for (const name of named) assert.ok(Object.hasOwn(scripts, name), name);
  assert.equal(commands.at(-1), 'npm publish --provenance --access public');
});
