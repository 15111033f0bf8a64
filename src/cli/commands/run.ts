/** `guestwire run`: gvproxy, with a socket by whose name the other commands find it. */
import { readFlags } from '../flags.ts';
import type { FlagDefinition } from '../go-flags.ts';
import { runGvproxy } from '../gvproxy.ts';
import { GVPROXY_FLAGS } from '../gvproxy-flags.ts';
import type { Call } from './command.ts';
import { claimControlSocket, DEFAULT_NAME } from './control-socket.ts';

const RUN_FLAGS = {
  ...GVPROXY_FLAGS,
  name: { kind: 'string', usage: 'By which the other commands find this network', default: DEFAULT_NAME },
} as const satisfies Record<string, FlagDefinition>;

export async function run({ environment }: Call): Promise<number> {
  const line = readFlags(environment, RUN_FLAGS);
  if (typeof line === 'number') return line;
  const { flags } = line;
  const control = flags.version ? undefined : await claimControlSocket(flags.name, environment.variables);
  return await runGvproxy(environment, line, control);
}
