/**
 * `gvproxy`: the same flags, messages and life cycle as the original (contract §2, §4).
 *
 * Exit status: 0 after SIGINT or SIGTERM or when the last VM has gone; 1 when something failed, or after a second signal; 2 for
 * a command line that makes no sense. SIGHUP takes its course after the clean-up. The original exits with 0 after failures at
 * run time too (contract §16 row 2); ours says so.
 */
import { openSync } from 'node:fs';
import { type AddressPlan, ConfigError } from '../config/subnet.ts';
import type { Port } from '../link/port.ts';
import type { VirtualNetwork } from '../network.ts';
import { createNetwork } from './create-network.ts';
import { fileErrorText, listenErrorText } from './go-errors.ts';
import { FlagError, HelpRequested, parseFlags, usage } from './go-flags.ts';
import { GVPROXY_FLAGS, type GvproxyValues } from './gvproxy-flags.ts';
import { descriptorSink, Log } from './log.ts';
import { PidFile } from './pid-file.ts';
import { validate } from './validation.ts';
import { banner } from './version.ts';

/** Signals that end the program. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
/** Milliseconds between the byte counts that `-debug` logs. */
const COUNT_INTERVAL = 5000;

export interface Environment {
  readonly argv: readonly string[];
  /** As version and log name the program. */
  readonly name: string;
  /** As the usage names it. */
  readonly program: string;
  stdout(text: string): void;
  stderr(text: string): void;
  readonly stderrIsTerminal: boolean;
}

/** Runs until the last VM has gone, a signal comes or something fails. Resolves with the exit status. */
export async function gvproxy(environment: Environment): Promise<number> {
  let values: GvproxyValues;
  try {
    ({ values } = parseFlags(GVPROXY_FLAGS, environment.argv));
  } catch (error) {
    if (error instanceof FlagError) environment.stderr(`${error.message}\n`);
    else if (!(error instanceof HelpRequested)) throw error;
    environment.stderr(usage(environment.program, GVPROXY_FLAGS));
    return error instanceof FlagError ? 2 : 0;
  }
  if (values.version) {
    environment.stdout(`${banner(environment.name)}\n`);
    return 0;
  }
  let log = new Log(descriptorSink(2, environment.stderrIsTerminal));
  try {
    if (values['log-file'] !== '') log = fileLog(values['log-file']);
    if (values.debug) log.level = 'debug';
    if (values.debug && values['log-file'] !== '') describe(log, environment);
    return await run(environment, validate(values, environment.program), values, log);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    log.record('fatal', error.message);
    return 1;
  }
}

function fileLog(path: string): Log {
  try {
    return new Log(descriptorSink(openSync(path, 'w'), false));
  } catch (error) {
    throw new ConfigError(`unable to open log file ${path} (flag -log-file: ${fileErrorText(error)})`);
  }
}

/** Contract §4.4: what a bug report needs. */
function describe(log: Log, { argv, name, program }: Environment): void {
  log.debug(banner(name));
  log.debug(`${process.platform}/${process.arch}`);
  log.debug([program, ...argv].join(' '));
}

/** Why the program ends. */
interface Ending {
  readonly reason: string;
  readonly failed: boolean;
  readonly signal?: NodeJS.Signals;
}

async function run({ name, program }: Environment, addresses: AddressPlan, values: GvproxyValues, log: Log): Promise<number> {
  log.info(banner(name));
  let pidFile: PidFile | undefined;
  let network: VirtualNetwork | undefined;
  let counts: NodeJS.Timeout | undefined;
  const ending = new Promise<Ending>((resolve) => catchSignals(resolve));
  let end: Ending;
  try {
    if (values['pid-file'] !== '') pidFile = new PidFile(values['pid-file']);
  } catch (error) {
    log.error(`failed to create pidfile: ${fileErrorText(error)} (flag -pid-file)`);
    return 1;
  }
  try {
    network = await createNetwork(addresses, values, log);
    log.info('waiting for clients...');
    // The original waits without a word.
    if (values['listen-qemu'] === '') log.record('warning', `no VM can attach without -listen-qemu (${program} -help lists the flags)`);
    const gone = values['listen-qemu'] === '' ? ending : listen(network, values['listen-qemu'], log);
    if (log.level === 'debug') counts = countBytes(network, log);
    end = await Promise.race([ending, gone]);
  } catch (error) {
    end = { reason: (error as Error).message, failed: true };
  }
  log.error(`${name} exiting: ${end.reason}`);
  clearInterval(counts);
  await network?.close();
  if (end.failed) pidFile?.giveBack();
  else pidFile?.remove();
  if (end.signal === 'SIGHUP') endAsUncaught(end.signal);
  return end.failed ? 1 : 0;
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

/** Listens for VMs; resolves when the last one has gone, as callers rely on (contract §6.8). */
async function listen(network: VirtualNetwork, url: string, log: Log): Promise<Ending> {
  let resolve!: (ending: Ending) => void;
  const promise = new Promise<Ending>((settle) => (resolve = settle));
  network.on('connected', (port: Port) => log.debug(`new connection from ${port.name} to ${url}`));
  network.on('disconnected', (port: Port, reason: string) => {
    const text = `cannot receive packets from ${port.name}, disconnecting: ${reason}`;
    log.error(text);
    if (network.portCount === 0) resolve({ reason: text, failed: false });
  });
  try {
    const { address } = await network.listenQemu(url);
    log.info(`listening for QEMU on ${address}`);
  } catch (error) {
    throw new Error(`qemu listen error: ${listenErrorText(error)}`, { cause: error });
  }
  return promise;
}

function countBytes(network: VirtualNetwork, log: Log): NodeJS.Timeout {
  return setInterval(() => {
    log.debug(`${humanBytes(network.bytesSent)} sent to the VM, ${humanBytes(network.bytesReceived)} received from the VM`);
  }, COUNT_INTERVAL);
}

/** Decimal units, as the original counts. */
function humanBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 || value >= 10 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}
