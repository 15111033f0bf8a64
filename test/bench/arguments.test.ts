import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseArguments } from '../../bench/arguments.ts';
import { contestants } from '../../bench/contestants.ts';
import { findGateways, type Gateway } from '../../bench/gateways.ts';

test('without flags the cells of the first table are measured at two MTUs, three rounds', () => {
  assert.deepEqual(parseArguments([]), {
    mtus: [1500, 65_520],
    rounds: 3,
    seconds: 3,
    cells: ['up', 'down', 'rr', 'crr', 'conns'],
    peers: ['gvproxy', 'passt', 'libslirp'],
    family: 4,
    families: false,
    carrier: 'bridge',
    json: null,
  });
});

test('cells run in one order, whatever the order of the flag', () => {
  assert.deepEqual(parseArguments(['--cells', 'held,rr,up']).cells, ['up', 'rr', 'held']);
});

test('none of the peers can be asked for', () => {
  assert.deepEqual(parseArguments(['--peers', 'none']).peers, []);
  assert.deepEqual(
    findGateways([]).map(({ name }) => name),
    ['guestwire'],
  );
});

test('both versions of IP are compared without peers', () => {
  const args = parseArguments(['--families', '--mtu', '1280']);
  assert.deepEqual([args.families, args.peers, args.mtus], [true, [], [1280]]);
  const columns = contestants(findGateways(args.peers), args).map(({ name, family }) => [name, family]);
  assert.deepEqual(columns, [
    ['IPv6', 6],
    ['IPv4', 4],
  ]);
});

test('over IPv6 a gateway without it is named, and not run', () => {
  const [ours] = findGateways([]) as [Gateway];
  const old: Gateway = { ...ours, name: 'old', ipv6: null };
  const able = (args: string[]): boolean[] => contestants([ours, old], parseArguments(args)).map((each) => each.able);
  assert.deepEqual(able(['--ipv6']), [true, false]);
  assert.deepEqual(able([]), [true, true]);
});

for (const [args, message] of [
  [['--ipv6', '--mtu', '1279'], /--mtu takes whole numbers from 1280 to 65521, not 1279/],
  [['--families', '--peers', 'passt'], /--families is of ours alone/],
  [['--cells', 'up,sideways'], /no cell is called sideways/],
  [['--mtu', '100'], /--mtu takes whole numbers from 576 to 65521, not 100/],
  [['--rounds', '1.5'], /--rounds takes whole numbers/],
  [['--secs', 'x'], /--secs takes whole numbers/],
  [['--carrier', 'pigeon'], /--carrier takes bridge or qemu-hub/],
  [['--speed', '9'], /Unknown option '--speed'/],
] as const) {
  test(`${args.join(' ')} is refused with what is wrong`, () => {
    assert.throws(() => parseArguments(args), message);
  });
}

test('a peer that there is not is refused', () => {
  assert.throws(() => findGateways(['gvisor']), /no peer is called gvisor/);
});
