/** `guestwire check-config`: what `run -config` would refuse, without opening anything. */
import { resolveOptions } from '../../config/resolve.ts';
import { ConfigError } from '../../config/subnet.ts';
import { configure, loadFile } from '../configuration.ts';
import { parseFlags } from '../go-flags.ts';
import { GVPROXY_FLAGS } from '../gvproxy-flags.ts';
import { Log } from '../log.ts';
import { type Call, checkWords, CommandError, STATUS } from './command.ts';

export async function checkConfig({ environment, words }: Call): Promise<number> {
  checkWords(words, 1, 1, 'the path of a configuration file');
  const [path] = words as [string];
  const { values: flags } = parseFlags(GVPROXY_FLAGS, ['-config', path]);
  const log = new Log({ write: (text) => environment.stderr(text), isTerminal: environment.stderrIsTerminal });
  try {
    const loaded = await loadFile(flags, []);
    for (const warning of loaded.warnings) environment.stderr(`${environment.program}: warning: ${warning}\n`);
    const { debug: _, ...options } = configure(flags, loaded, log, { inUse: true }).stack;
    resolveOptions(options);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new CommandError(error.message);
  }
  environment.stdout(`${path}: nothing is wrong\n`);
  return STATUS.ok;
}
