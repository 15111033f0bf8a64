/** Guests of the network fd01:2:3:4::/64, and what their kernels make of it. */
import assert from 'node:assert/strict';
import type { Namespace } from './namespace.ts';
import { delay } from './process.ts';

export const PREFIX = 'fd01:2:3:4';
export const GATEWAY: string = `${PREFIX}::1`;
export const HOST: string = `${PREFIX}::254`;
/** What the guest's kernel makes of the first VM's MAC address. */
export const OWN: string = `${PREFIX}:5894:efff:fee4:cee`;
export const ROUTER = 'fe80::5894:efff:fee4:cdd';

/** The guest's kernel has heard of the router and tested the address that it has made. */
export async function configured(guest: Namespace, address: string = OWN): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    const addresses = await guest.succeed('ip', '-6', 'addr', 'show', 'dev', 'tap0');
    if (addresses.includes(`inet6 ${address}/64`) && !addresses.replaceAll('dadfailed tentative', '').includes('tentative')) return;
    await delay(100);
  }
  assert.fail(`no address:\n${await guest.succeed('ip', '-6', 'addr')}`);
}
