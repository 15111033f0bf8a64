/** The library's pages, its code and its types say the same; and it works in plain JavaScript, of either module system. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { test } from 'node:test';
import * as library from '../../src/index.ts';
import { CAPACITY_ERRORS, NETWORK_ERRORS } from '../../src/errors.ts';
import { DIAL_ERRORS } from '../../src/flow/dial.ts';
import { FORWARD_ERRORS } from '../../src/forward/forward.ts';
import { execute, ROOT, temporaryFolder } from '../guest/process.ts';

const SRC = join(ROOT, 'src');

function page(name: string): string {
  return readFileSync(join(ROOT, 'docs', name), 'utf8');
}

/** Names that a module of `src/` exports, and whether they are types only. */
function exports(file = 'index.ts'): Map<string, boolean> {
  const names = new Map<string, boolean>();
  for (const [, onlyTypes, list] of readFileSync(join(SRC, file), 'utf8').matchAll(/^export (type )?\{([^}]*)\}/gms)) {
    for (const item of list!.split(',').map((text) => text.trim())) {
      if (item !== '') names.set(item.replace(/^type /, ''), onlyTypes !== undefined || item.startsWith('type '));
    }
  }
  return names;
}

/** Names in the rows of a part of the page on the library. */
function documented(part: string): string[] {
  const rows = [...part.matchAll(/^\| (`.*?) \| .+? \| (stable|evolving)(?:, [^|]*)? \|$/gm)];
  const named = rows.flatMap(([, names]) => [...names!.matchAll(/`(\w+)`/g)].map(([, name]) => name!));
  assert.equal(new Set(named).size, named.length, 'a name stands twice');
  return named.toSorted();
}

test('the page on the library has a row with its stability for each export, and for nothing else', () => {
  const [main, testing] = page('library.md').split('\n## guestwire/testing\n') as [string, string];
  assert.ok(documented(main).length > 30);
  assert.deepEqual(documented(main), [...exports().keys()].toSorted());
  assert.deepEqual(documented(testing), [...exports('testing/index.ts').keys()].toSorted());
  const values = [...exports()].filter(([, onlyType]) => !onlyType).map(([name]) => name);
  assert.deepEqual(values.toSorted(), Object.keys(library).toSorted());
});

test('the reference is what scripts/reference.mjs makes of the sources, and its links lead somewhere', async () => {
  const { status, stderr } = await execute(process.execPath, [join(ROOT, 'scripts/reference.mjs'), '--check'], 60_000);
  assert.deepEqual([status, stderr], [0, '']);
  const text = page('reference.md');
  const headings = [...text.matchAll(/^### (\w+)$/gm)].map(([, name]) => name!);
  assert.deepEqual(headings.toSorted(), [...exports().keys(), ...exports('testing/index.ts').keys()].toSorted());
  const slugs = headings.map((name, i) => {
    const before = headings.slice(0, i).filter((other) => other.toLowerCase() === name.toLowerCase()).length;
    return [name, `${name.toLowerCase()}${before === 0 ? '' : `-${before}`}`] as const;
  });
  const links = [...text.matchAll(/^\[(\w+)\]\(#([\w-]+)\)/gm)].map(([, name, slug]) => [name!, slug!] as const);
  assert.deepEqual(links, slugs);
});

test('the page on errors has a row for each code of each class, and for nothing else', () => {
  const rows = [...page('errors.md').matchAll(/^\| `([^`]+)`(?:, any other)? \| (\w+)[^|]* \| ([^|]+) \| ([^|]+) \|$/gm)];
  const classes = rows.map(([, code, type]) => `${type} ${code}`);
  const codes = (type: string, list: readonly string[]): string[] => list.map((code) => `${type} ${code}`);
  const { code: config } = new library.ConfigError('');
  const { code: zone } = new library.ZoneError('');
  const { code: argument } = new library.ArgumentError('');
  assert.deepEqual(
    classes.toSorted(),
    [
      ...codes('NetworkError', NETWORK_ERRORS),
      ...codes('CapacityError', CAPACITY_ERRORS),
      ...codes('DialError', DIAL_ERRORS),
      ...codes('ForwardError', FORWARD_ERRORS),
      `ConfigError ${config}`,
      `ZoneError ${zone}`,
      `ArgumentError ${argument}`,
      'Error ECONNRESET',
      'SystemError E…',
    ].toSorted(),
  );
});

/** What these throw is no user's to see: broken invariants, and what is caught where it is called and told in other words. */
const INSIDE: Record<string, string> = {
  'runtime/fair-shares': 'an invariant',
  'runtime/arena': 'an invariant',
  'gateway/reassembly': 'an invariant',
  'service/dhcp/lease-pool': 'an invariant',
  'service/dns/node-upstream': 'the forwarder asks the next server',
  'system/inherited': 'the text of a link is checked before, and comes out as a ConfigError',
  'system/listen-url': 'as above',
  'system/vsock-url': 'as above',
};

test('what the library throws has a code', () => {
  const folders = ['packet', 'system', 'runtime', 'link', 'switch', 'gateway', 'host', 'flow', 'service', 'forward', 'config', 'library'];
  const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));
  const found = new Set<string>();
  for (const file of files) {
    const place = relative('.', file).replaceAll('\\', '/').replace(/\.ts$/, '');
    if (!folders.includes(place.split('/')[0]!) && place !== 'network') continue;
    const code = readFileSync(join(SRC, file), 'utf8');
    // With `{ code` behind it it is one of Node's shape.
    if (/new (Error|TypeError|RangeError)\((?!.*\{ code)/.test(code)) found.add(place);
  }
  assert.deepEqual([...found].toSorted(), Object.keys(INSIDE).toSorted());
});

/** Runs a file of this text where `guestwire` resolves to this tree. */
async function run(name: string, code: string): Promise<string> {
  const folder = temporaryFolder();
  mkdirSync(join(folder, 'node_modules'));
  symlinkSync(ROOT, join(folder, 'node_modules/guestwire'));
  writeFileSync(join(folder, name), code);
  const { status, stdout, stderr } = await execute(process.execPath, [join(folder, name)], 20_000);
  assert.equal(status, 0, stderr);
  assert.equal(stderr, '');
  return stdout;
}

const BODY = `
VirtualNetwork.create({ subnet: '10.0.0.0/24' }).then(async (network) => {
  console.log(network.addresses.gatewayIP);
  await network.close();
  try { network.forward(':0', '10.0.0.2:80'); } catch (error) { console.log(error instanceof NetworkError, error.code); }
  console.log(await VirtualNetwork.create({ mtu: 'big' }).catch(({ code }) => code));
});`;
const ANSWER = '10.0.0.1\ntrue network-closed\ninvalid-config\n';

test('a module in plain JavaScript uses the library', async () => {
  assert.equal(await run('program.mjs', `import { NetworkError, VirtualNetwork } from 'guestwire';${BODY}`), ANSWER);
});

test('CommonJS requires the library', async () => {
  assert.equal(await run('program.cjs', `const { NetworkError, VirtualNetwork } = require('guestwire');${BODY}`), ANSWER);
});
