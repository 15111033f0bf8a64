/** From command line and configuration file to what gvproxy runs with (contract §2.3, §3). */
import { readFileSync } from 'node:fs';
import type { ConfigFile } from '../config/file-schema.ts';
import { type GvproxyConfig, resolveGvproxyConfig, type Surroundings } from '../config/gvproxy-config.ts';
import { parseLogLevel } from '../config/log-level.ts';
import { ConfigError } from '../config/subnet.ts';
import { parseSearchDomains } from '../service/dns/host-files.ts';
import { fileErrorText } from './go-errors.ts';
import type { GvproxyValues } from './gvproxy-flags.ts';
import type { Log } from './log.ts';
import { validate } from './validation.ts';

/** Of the network's addresses the file has the last word; of everything else the command line. */
const ADDRESS_FLAGS = [
  'subnet',
  'gatewayIP',
  'deviceIP',
  'hostIP',
  'ipv4',
  'ipv6',
  'subnet6',
  'gatewayIP6',
  'deviceIP6',
  'hostIP6',
] as const;

/** What `-config` names, and what is to be said of it once there is a log. */
export interface LoadedFile extends Pick<Surroundings, 'file' | 'compile'> {
  readonly warnings: readonly string[];
}

/** Without `-config` there is no file, and its parsers aren't loaded: they take as long as everything else. Throws ConfigError. */
export async function loadFile(flags: GvproxyValues, argv: readonly string[], given: ReadonlySet<string> = new Set()): Promise<LoadedFile> {
  const { config: path } = flags;
  if (path === '') return { file: undefined, warnings: [] };
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new ConfigError(`failed to read config file: ${fileErrorText(error)} (flag -config)`);
  }
  const [{ readConfigFile }, { compileRe2 }] = await Promise.all([import('../config/file-reader.ts'), import('../config/re2.ts')]);
  const { file, warnings } = readConfigFile(text, path);
  const level = file['log-level'] ?? '';
  const unknown = level === '' || parseLogLevel(level) !== undefined ? [] : [`unknown log level ${JSON.stringify(level)}: info is used`];
  const ignored = argv.some((word) => word === '-ssh-port' || word === '--ssh-port')
    ? ['flag -ssh-port is not available with a configuration file: stack.forwards has the forwards']
    : [];
  return { file, compile: compileRe2, warnings: [...warnings, ...unknown, ...ignored, ...overruled(flags, given, file)] };
}

/** Flags that are given although the file says something else, and wins (contract §3.4). */
function overruled(flags: GvproxyValues, given: ReadonlySet<string>, { stack = {} }: ConfigFile): string[] {
  return ADDRESS_FLAGS.filter((name) => given.has(name) && (stack[name] ?? '') !== '' && stack[name] !== flags[name]).map(
    (name) => `flag -${name} has no effect: stack.${name} of the configuration file is ${String(stack[name])}`,
  );
}

/** Contract §2.3 from row 3 on; `inUse` as for `validate`. Throws ConfigError. */
export function configure(flags: GvproxyValues, loaded: LoadedFile, log: Log, { inUse = false }: { inUse?: boolean } = {}): GvproxyConfig {
  const searchDomains = loaded.file === undefined ? hostSearchDomains(log) : [];
  return validate(flags, resolveGvproxyConfig(flags, { ...loaded, searchDomains }), { inUse });
}

function hostSearchDomains(log: Log): readonly string[] {
  try {
    return parseSearchDomains(readFileSync('/etc/resolv.conf', 'utf8'));
  } catch (error) {
    log.error(`cannot read search domains: ${(error as Error).message}`);
    return [];
  }
}
