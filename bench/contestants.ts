/** Who takes turns: gateways over one version of IP, or ours over both. */
import type { Arguments } from './arguments.ts';
import type { Family, Gateway } from './gateways.ts';

/** A column of the table. */
export interface Contestant {
  readonly name: string;
  readonly gateway: Gateway;
  readonly family: Family;
  /** Whether the gateway has that version of IP at all. */
  readonly able: boolean;
}

/** The first is the one that others are compared with. `gateways`: ours first. */
export function contestants(gateways: readonly Gateway[], { families, family }: Pick<Arguments, 'families' | 'family'>): Contestant[] {
  const [ours] = gateways;
  if (families) return ([6, 4] as const).map((version) => ({ name: `IPv${version}`, gateway: ours!, family: version, able: true }));
  return gateways.map((gateway) => ({ name: gateway.name, gateway, family, able: family === 4 || gateway.ipv6 !== null }));
}
