import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const SRC = join(ROOT, 'src');

/** What a folder may import besides itself, and why no more. A path with a slash names one file. */
const RULES: Record<string, { may: string[]; because: string }> = {
  packet: { may: [], because: 'wire formats are facts about bytes; anything may build on them' },
  system: { may: [], because: 'the only place that calls the operating system knows nothing of networks' },
  runtime: {
    may: ['system', 'packet/checksum', 'packet/checksum-wasm'],
    because: 'loop, timers and memory know no protocols but the checksum they run in place',
  },
  link: { may: ['packet', 'runtime', 'system', 'errors'], because: 'a link moves frames; what is in them is none of its business' },
  switch: { may: ['packet', 'runtime/rate-limit', 'link/port'], because: 'a switch knows ports, not how they are made' },
  gateway: {
    may: ['packet', 'runtime', 'link/port', 'switch/gateway-input'],
    because: 'the gateway is a host on the wire; who handles its transports registers with it',
  },
  host: { may: ['packet/address', 'system', 'runtime'], because: 'host endpoints know nothing of guests' },
  flow: {
    may: ['packet', 'runtime', 'host', 'gateway', 'link/port', 'errors'],
    because: 'a flow joins the gateway and a host endpoint, and sees no descriptor',
  },
  service: {
    may: ['packet', 'runtime', 'flow/listener', 'network-options', 'errors'],
    because: 'services listen on the virtual network through one interface, as a library user would',
  },
  forward: {
    may: ['packet/address', 'runtime', 'host', 'flow', 'gateway', 'errors'],
    because: 'a forward joins a host listener and a flow',
  },
  ssh: { may: ['system'], because: 'how the guest is dialled and where records go is handed in' },
  config: {
    may: ['packet/address', 'packet/mac', 'network-options', 'link/spec'],
    because: 'configuration is turned into options before a network exists',
  },
  library: {
    may: [
      'packet/address',
      'packet/mac',
      'runtime',
      'host',
      'gateway',
      'flow',
      'link/port',
      'service/dns',
      'config/subnet',
      'config/forward-address',
      'errors',
    ],
    because: 'what a program does inside its network goes through what the gateway and flows offer',
  },
  guest: {
    may: ['packet', 'runtime', 'system', 'link'],
    because: 'what runs in a VM knows links and devices, and nothing of the network at their other end',
  },
  cli: {
    may: [
      'guest',
      'packet/mac',
      'runtime',
      'system',
      'config',
      'network',
      'network-options',
      'link/port',
      'service/dns/host-files',
      'forward',
      'ssh',
      'api',
    ],
    because: 'programs own the process and nothing below them',
  },
  testing: {
    may: ['packet', 'link/memory-port', 'network', 'config'],
    because: 'the soft guest judges the product and shares nothing with it but the wire formats',
  },
  api: {
    may: [
      'network',
      'network-options',
      'network-counters',
      'packet/address',
      'system',
      'flow/listener',
      'flow/flow-list',
      'flow/snapshot',
      'service/dns/zones',
      'config/re2',
    ],
    because: 'the HTTP API shows and changes a network as its users do',
  },
  'network-counters': {
    may: ['link/port', 'switch', 'gateway', 'host/counters', 'flow', 'service'],
    because: 'it names the counters of the parts',
  },
  'network-limits': {
    may: ['network-options', 'host/descriptors', 'gateway/neighbour', 'flow'],
    because: 'it scales the limits of the parts',
  },
  'network-parts': {
    may: ['packet', 'runtime', 'gateway', 'service/dns', 'network-ipv6', 'network-options'],
    because: 'it makes parts of options',
  },
  'network-ipv6': {
    may: ['packet', 'gateway/ipv6-gateway', 'service', 'network-options'],
    because: 'it makes parts of a network of its options',
  },
  'network-options': { may: [], because: 'plain data' },
  errors: { may: [], because: 'any part of a network may refuse something' },
  'network-events': { may: ['link/port', 'link/spec'], because: 'types of what is told' },
};

function sources(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(folder, name));
}

/** `flow/tcp/engine` for a file of src. */
function place(file: string): string {
  return relative(SRC, file).replace(/\.ts$/, '').replaceAll('\\', '/');
}

function importsOf(file: string): string[] {
  return [...readFileSync(file, 'utf8').matchAll(/(?:from|import) '(\.[^']+)'/g)].map(([, path]) => place(resolve(dirname(file), path!)));
}

test('imports point the way the architecture says', () => {
  const offences: string[] = [];
  for (const file of sources(SRC)) {
    const from = place(file);
    const folder = from.split('/')[0]!;
    const rule = RULES[folder];
    // network.ts and index.ts wire everything; what they may not do is be imported from below.
    if (from === 'network' || from === 'index') continue;
    if (rule === undefined) {
      offences.push(`${from}: the folder has no rule in this test`);
      continue;
    }
    for (const to of importsOf(file)) {
      const allowed = to.split('/')[0] === folder || rule.may.some((name) => to === name || to.startsWith(`${name}/`));
      if (!allowed) offences.push(`${from} imports ${to}: ${rule.because}`);
    }
  }
  assert.deepEqual(offences, []);
});

test('the product imports nothing of tests and benchmarks, and benchmarks nothing of tests', () => {
  const BENCH = join(ROOT, 'bench');
  const outside = (folder: string, forbidden: RegExp): string[] =>
    sources(folder).flatMap((file) =>
      importsOf(file)
        .filter((to) => forbidden.test(to))
        .map((to) => `${place(file)} imports ${to}`),
    );
  assert.ok(sources(BENCH).length > 10);
  assert.deepEqual([...outside(SRC, /^\.\.\/(test|bench)\//), ...outside(BENCH, /^\.\.\/test\//)], []);
});

test('no source file has more than 500 lines', () => {
  const long = sources(SRC).filter((file) => readFileSync(file, 'utf8').split('\n').length > 501);
  assert.deepEqual(long.map(place), []);
});

test('every folder of src opens with a README', () => {
  const folders = readdirSync(SRC, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  assert.deepEqual(
    folders.filter(({ name }) => !existsSync(join(SRC, name, 'README.md'))).map(({ name }) => name),
    [],
  );
});

test("TCP's README names every file of its folder, and no other", () => {
  const [, table] = readFileSync(join(SRC, 'flow/tcp/README.md'), 'utf8').split('\n## Files\n');
  const named = [...table!.matchAll(/`([\w-]+\.ts)`/g)].map(([, name]) => name!);
  const files = readdirSync(join(SRC, 'flow/tcp')).filter((name) => name.endsWith('.ts'));
  assert.deepEqual(named.toSorted(), files.toSorted());
});

test('the core has no clock, timers, process or console of its own', () => {
  const core = ['packet', 'switch', 'gateway', 'flow', 'service'];
  // The one file of a service that does its input and output with Node's own sockets.
  const edge = ['service/dns/node-upstream'];
  const offences = sources(SRC)
    .filter((file) => core.includes(place(file).split('/')[0]!) && !edge.includes(place(file)))
    .flatMap((file) => {
      const code = readFileSync(file, 'utf8').replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*/g, '');
      const found = /\b(Date\.now|performance\.now|setTimeout|setInterval|setImmediate|process\.|console\.)/.exec(code);
      return found === null ? [] : [`${place(file)}: ${found[1]}`];
    });
  assert.deepEqual(offences, []);
});

test('the limits page names values that stand in the code', () => {
  const page = readFileSync(join(ROOT, 'docs/limits.md'), 'utf8');
  const rows = [...page.matchAll(/^\| .* \| `([\d_]+)` \| `([^`]+)` in `([^`]+)` \|/gm)];
  assert.ok(rows.length >= 15, `${rows.length} rows`);
  for (const [, value, name, file] of rows) {
    const code = readFileSync(join(SRC, `${file}.ts`), 'utf8');
    assert.match(code, new RegExp(`\\b${name}\\b\\W+(?:: ?\\w+ )?\\W*${value}\\b`), `${name} is ${value} in ${file}`);
  }
});
