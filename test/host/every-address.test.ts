import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { networkInterfaces } from 'node:os';
import { test } from 'node:test';
import { KernelNetwork } from '../../src/host/kernel-network.ts';
import { IpAddress } from '../../src/packet/address.ts';
import { Arena } from '../../src/runtime/arena.ts';
import { TurnLoop } from '../../src/runtime/turn-loop.ts';

const hasIpv6 = Object.values(networkInterfaces()).some((each) => each?.some(({ address }) => address === '::1'));

function connects(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, host);
    socket.once('error', () => resolve(false));
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
  });
}

for (const [kernel, known] of [
  ['with IPv6', true],
  ['without IPv6', false],
] as const) {
  test(`a listener on every address of a kernel ${kernel} takes what the kernel has`, async () => {
    const arena = new Arena(4 << 20);
    const loop = new TurnLoop(arena);
    const host = new KernelNetwork(loop, arena, undefined, known && hasIpv6);
    const listener = host.listenStream(new IpAddress(0, 0, 0, 0), 0, (endpoint) => endpoint.close());
    try {
      assert.equal(await connects('127.0.0.1', listener.port), true);
      assert.equal(await connects('::1', listener.port), known && hasIpv6);
    } finally {
      listener.close();
      loop.close();
    }
  });
}
