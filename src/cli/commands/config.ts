/** `guestwire config`: the configuration file that does what flags do. */
import { ConfigError } from '../../config/subnet.ts';
import { configure, loadFile } from '../configuration.ts';
import { readFlags } from '../flags.ts';
import { GVPROXY_FLAGS } from '../gvproxy-flags.ts';
import { descriptorSink, Log } from '../log.ts';
import { type Call, STATUS } from './command.ts';

export async function config({ environment }: Call): Promise<number> {
  const line = readFlags(environment, GVPROXY_FLAGS);
  if (typeof line === 'number') return line;
  const { flags } = line;
  const log = new Log(descriptorSink(2, environment.stderrIsTerminal));
  try {
    const loaded = await loadFile(flags, environment.argv, line.given);
    for (const warning of [...line.warnings, ...loaded.warnings]) log.warning(warning);
    const { effectiveConfig } = await import('../../config/effective-config.ts');
    environment.stdout(effectiveConfig(configure(flags, loaded, log)));
    return STATUS.ok;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    log.record('fatal', error.message);
    return STATUS.failed;
  }
}
