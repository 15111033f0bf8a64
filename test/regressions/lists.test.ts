/**
 * Bugs that other stacks have had, each with the test that would find it here, or the reason why it can't happen: the findings of
 * rootlessRelay and tcpip.js, then what users of passt have reported (numbers are those of its tracker). An item whose test is
 * renamed or goes fails until it names another.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';

const ROOT: URL = new URL('../../../', import.meta.url);

type Found = readonly [file: string, title: string];

const JAVASCRIPT_STACKS: Record<string, Found> = {
  'payload of only zeros or spaces dropped as padding': ['flow/tcp/receive', 'payload that is only zeros or spaces is data, not padding'],
  'data on the final handshake ACK lost': ['flow/tcp/handshake', 'takes data that comes with the last ACK of the handshake'],
  'window-only ACK does not resume output': ['flow/tcp/transmit', 'a window-only update resumes output'],
  'zero-window reopening lost without probes': ['flow/tcp/transmit', 'probes a closed window and resumes when the update was lost'],
  'window scale applied though not negotiated': ['flow/tcp/handshake', 'never applies a scale that was not negotiated'],
  'data-bearing ACK counted as duplicate': ['flow/tcp/transmit', 'an ACK with data, or one that changes the window, is no duplicate'],
  'overlap of out-of-order ranges delivered twice': ['flow/tcp/receive', 'delivers overlapping and repeated segments once'],
  'overlap of out-of-order ranges delivered twice across sequence wrap': [
    'flow/tcp/receive',
    'overlaps are delivered once across the sequence wrap',
  ],
  'missing MSS option must mean 536': ['flow/tcp/handshake', 'a missing MSS option means 536, or 1220 with IPv6'],
  'UDP flows keyed only by source port collide': ['flow/udp/engine', 'flows with the same source port to different places do not mix'],
  'IPv4 options and Ethernet padding': ['gateway/gateway', 'trims padding, follows options, and hands on exactly the payload'],
  'receive window stuck when a chunk exceeds the remaining space': [
    'flow/tcp/receive',
    'trims what lies beyond the window and acknowledges what it took',
  ],
  // Both benches overwrite what was received as soon as the batch ends.
  'addresses kept as views of a reused NIC buffer': ['flow/tcp/transmit', 'two flows share the port in turns'],
};

const PASST: Record<string, Found> = {
  'FIN-only fast retransmit (125)': ['flow/tcp/close', 'duplicate ACKs below the FIN trigger its fast retransmit'],
  'source address is the gateway (217)': ['gateway/gateway', 'refuses packets whose addresses make no sense'],
  'multicast loop (209)': ['switch/switch', 'broadcasts reach every other port and the gateway, multicast every other port'],
  '127.0.0.x other than .1 (212, 113)': ['flow/tcp/handshake', 'refuses what the policy blocks without dialling'],
  'TCP hang on a path local to the host (207, 202)': [
    'host/kernel-network',
    'a peer that sends without end is never held up, however the bytes are looked at and discarded',
  ],
  'neighbour race (203)': ['gateway/gateway', 'resolves a neighbour with three broadcasts a second apart, then gives up'],
  'MAC from neighbour (120)': ['gateway/gateway', 'learns guests from ARP and from packets, not the gateway, broadcast or strangers'],
  'busy loop (185, EPOLLRDHUP storms 94)': [
    'flow/tcp/close',
    'the end of the host stream is sent once, however often the endpoint reports it',
  ],
  'a busy loop of UDP errors (185)': ['flow/udp/sending', 'an error that stays does not keep the pump running'],
  'send buffer smaller than MSS stalls (183)': [
    'flow/tcp/named-scripts',
    "the guest's reopened window is learnt by our probe when its update was lost, and a window of one byte is used",
  ],
  'inbound SYN retry (153)': [
    'flow/tcp/named-scripts',
    'simultaneous open: both SYNs cross, both are answered, and data flows both ways (RFC 9293 §3.5, figure 7)',
  ],
  'inbound SYN retry (153), to a guest that is not ready': [
    'flow/tcp/endings',
    'a guest whose link was full through the handshake is not given up, and is connected when it has room',
  ],
  '60-byte padding (166)': ['gateway/gateway', 'trims padding, follows options, and hands on exactly the payload'],
  'offline mode (128, 129)': ['flow/tcp/handshake', 'tells an unreachable destination by ICMP'],
  'offline mode of UDP (128, 129)': ['flow/udp/engine', 'an unreachable network is told at once'],
  'UDP ICMP errors (64)': ['flow/udp/engine', 'a refusal by the host is a port unreachable to the guest, and the next datagram still goes'],
  'UDP reply source (99)': ['flow/udp/engine', 'a datagram leaves by a socket of its own, the answer comes from where it was sent'],
  'short TCP exchange (114)': [
    'flow/tcp/close',
    'the guest closes first: half-close is carried across, the host may go on, and nothing is left',
  ],
  'ping id 0 (105)': ['gateway/echo', 'a ping to another address is a real ping, answered from the address that was pinged'],
  'PSH (107)': ['flow/tcp/transmit', 'sends what the host sends, one MSS a segment, PSH on the last'],
  'throughput at a low round-trip time': [
    'flow/tcp/transmit',
    'the timeout follows the measured round trip (RFC 6298), never below 200 ms',
  ],
};

/** Of passt's list, what has nothing to happen to here. */
const DOES_NOT_APPLY: Readonly<Record<string, string>> = {
  'netns-only mapping (216), initramfs chroot (104)': 'the process enters no namespace and changes no root',
  'IPv6-disabled host (188), IPv6-only -T and -U (205)': 'guests have IPv4 only in this version',
  'freebind UDP (174)': 'the host side is connected by address and never bound to one that the host does not have',
  'splice EINTR loop': 'nothing is spliced: each call is tried once in a turn and again in the next',
  'dns-forward with no-map-gw (111)': 'there are no such options: the resolver is always the gateway',
  'podman 23686 to 28219': 'reports of the items above by way of podman, and of its own network set-up',
};

const cache = new Map<string, string>();

function source(file: string): string {
  const path = fileURLToPath(new URL(`test/${file}.test.ts`, ROOT));
  const text = cache.get(path) ?? readFileSync(path, 'utf8');
  cache.set(path, text);
  return text;
}

for (const [name, list] of Object.entries({ 'JavaScript stacks': JAVASCRIPT_STACKS, passt: PASST })) {
  for (const [item, [file, title]] of Object.entries(list)) {
    test(`${name}: ${item}: see test/${file}.test.ts`, () => {
      const quoted = [`'${title}'`, `"${title}"`];
      assert.ok(
        quoted.some((text) => source(file).includes(`test(${text}`)),
        `no test is called ${title}`,
      );
    });
  }
}

test('JavaScript stacks: files resolved relative to cwd when started by npx', () => {
  for (const program of ['guestwire', 'gvproxy']) {
    const path = fileURLToPath(new URL(`bin/${program}`, ROOT));
    const { status, stderr, stdout } = spawnSync(process.execPath, [path, '--version'], {
      cwd: tmpdir(),
      encoding: 'utf8',
      timeout: 20_000,
    });
    assert.equal(status, 0, stderr + stdout);
  }
});

test('passt: closed std streams (215)', () => {
  const path = fileURLToPath(new URL('bin/guestwire', ROOT));
  const { status } = spawnSync('sh', ['-c', 'exec "$0" "$1" --version <&- >&- 2>&-', process.execPath, path], { timeout: 20_000 });
  assert.equal(status, 0);
});

test('JavaScript stacks: `setTimeout(0)` used as "immediate"', () => {
  for (const folder of ['src', 'scripts', 'bin']) {
    const files = readdirSync(new URL(folder, ROOT), { recursive: true, encoding: 'utf8' }).filter((name) => /\.(ts|mjs)$/.test(name));
    for (const name of files) {
      const text = readFileSync(new URL(`${folder}/${name}`, ROOT), 'utf8');
      assert.equal(/setTimeout\([^;]*,\s*0\)/.test(text), false, `${folder}/${name}`);
    }
  }
});

test('what does not apply has a reason and is not on the other list as well', () => {
  for (const [item, reason] of Object.entries(DOES_NOT_APPLY)) {
    assert.notEqual(reason, '');
    assert.equal(item in PASST, false);
  }
});
