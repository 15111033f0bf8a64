/**
 * What gvproxy does once its command line has been read: its life cycle is the original's (contract §4).
 *
 * Exit status: 0 after SIGINT or SIGTERM or when the last VM has gone; 1 when something failed, or after a second signal. SIGHUP
 * takes its course after the clean-up. The original exits with 0 after failures at run time too (contract §16 row 2); ours says so.
 */
import { openSync } from 'node:fs';
import { type GvproxyConfig, resolveLogLevel } from '../config/gvproxy-config.ts';
import { ConfigError } from '../config/subnet.ts';
import type { VirtualNetwork } from '../network.ts';
import { compileSooner } from './compiler.ts';
import { configure, loadFile, type LoadedFile } from './configuration.ts';
import { createNetwork } from './create-network.ts';
import type { Environment } from './environment.ts';
import type { ReadFlags } from './flags.ts';
import { fileErrorText } from './go-errors.ts';
import type { GVPROXY_FLAGS, GvproxyValues } from './gvproxy-flags.ts';
import { descriptorSink, Log } from './log.ts';
import { NotificationSender } from './notification-sender.ts';
import { PidFile } from './pid-file.ts';
import { type Ending, start } from './start.ts';
import { banner } from './version.ts';

/** Signals that end the program. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Runs until the last VM has gone, a signal comes or something fails. Resolves with the exit status. `control` is a URL on which programs of the host are served besides. */
export async function runDaemon(environment: Environment, line: ReadFlags<typeof GVPROXY_FLAGS>, control?: string): Promise<number> {
  const { flags } = line;
  let log = new Log(descriptorSink(2, environment.stderrIsTerminal));
  let config: GvproxyConfig;
  try {
    const loaded = await loadFile(flags, environment.argv, line.given);
    log = openLog(flags, loaded, environment);
    log.level = resolveLogLevel(flags, loaded.file);
    if (log.level === 'debug' && (flags['log-file'] || loaded.file?.['log-file'])) describe(log, environment);
    for (const warning of [...line.warnings, ...loaded.warnings]) log.warning(warning);
    config = configure(flags, loaded, log);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    log.record('fatal', error.message);
    return 1;
  }
  return await run(environment, flags, config, log, control);
}

/** Contract §2.3 row 2. Throws ConfigError. */
function openLog(flags: GvproxyValues, { file }: LoadedFile, { stderrIsTerminal }: Environment): Log {
  const format = flags['log-format'] || (file?.['log-format'] ?? 'text');
  if (format !== 'text' && format !== 'json') throw new ConfigError(`log-format can't be ${JSON.stringify(format)}: want text or json`);
  const path = flags['log-file'] || (file?.['log-file'] ?? '');
  if (path === '') return new Log(descriptorSink(2, stderrIsTerminal), undefined, format);
  try {
    return new Log(descriptorSink(openSync(path, 'w'), false), undefined, format);
  } catch (error) {
    const origin = flags['log-file'] === '' ? 'log-file in the configuration file' : 'flag -log-file';
    throw new ConfigError(`unable to open log file ${path} (${origin}: ${fileErrorText(error)})`);
  }
}

/** Contract §4.4: what a bug report needs. */
function describe(log: Log, { argv, name, program }: Environment): void {
  log.debug(banner(name));
  log.debug(`${process.platform}/${process.arch}`);
  log.debug([program, ...argv].join(' '));
}

async function run(
  { name, program }: Environment,
  flags: GvproxyValues,
  config: GvproxyConfig,
  log: Log,
  control?: string,
): Promise<number> {
  log.info(banner(name));
  let end!: (ending: Ending) => void;
  const ending = new Promise<Ending>((resolve) => (end = resolve));
  catchSignals(end);
  let pidFile: PidFile | undefined;
  try {
    if (config.pidFile !== '') pidFile = new PidFile(config.pidFile);
  } catch (error) {
    log.error(`failed to create pidfile: ${fileErrorText(error)} (${flags['pid-file'] === '' ? 'pid-file' : 'flag -pid-file'})`);
    return 1;
  }
  const parts = new Parts();
  const notifications = new NotificationSender(config.notification, log);
  const fail = (error: unknown): void => end({ reason: (error as Error).message, failed: true });
  let network: VirtualNetwork | undefined;
  try {
    network = await createNetwork(config, flags);
    network.on('station', (mac) => notifications.send('connection_established', mac));
    network.on('stationGone', (mac) => notifications.send('connection_closed', mac));
    log.info('waiting for clients...');
    const atEnd = (close: () => void | Promise<void>): void => parts.add(close);
    start({ network, config, log, notifications, program, control, end, atEnd }).then(compileSooner).catch(fail);
  } catch (error) {
    fail(error);
  }
  const { reason, failed, signal } = await ending;
  await parts.close();
  await network?.close();
  // The stations that went with the network are told of as well.
  await notifications.close();
  // Last, for those who look there; but a second signal does not wait.
  log.error(`${name} exiting: ${reason}`);
  if (failed) pidFile?.giveBack();
  else pidFile?.remove();
  if (signal === 'SIGHUP') endAsUncaught(signal);
  return failed ? 1 : 0;
}

/** What runs beside the network. */
class Parts {
  readonly #open: (() => void | Promise<void>)[] = [];
  #closed = false;

  add(close: () => void | Promise<void>): void {
    if (this.#closed) void close();
    else this.#open.push(close);
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (let close = this.#open.pop(); close !== undefined; close = this.#open.pop()) await close();
  }
}

/** The first signal ends in order, the second at once. */
function catchSignals(resolve: (ending: Ending) => void): void {
  let caught = false;
  for (const signal of SIGNALS) {
    process.on(signal, () => {
      if (caught) process.exit(1);
      caught = true;
      resolve({ reason: 'signal caught', failed: false, signal });
    });
  }
}

/** gvproxy leaves SIGHUP to the system (contract §4.5). We clean up first; who waits for us sees the same end. */
function endAsUncaught(signal: NodeJS.Signals): void {
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
}
