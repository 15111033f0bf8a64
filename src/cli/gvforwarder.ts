/**
 * `gvforwarder`: joins a TAP interface of the VM it runs in to gvproxy on the host (contract §15.1). It tries again, a second after
 * each failure, until a signal comes.
 *
 * Exit status: 0 after SIGINT, SIGTERM or SIGHUP, and when an interface of `-stop-if-exist` is there; 1 for values of flags that make
 * no sense; 2 for a command line that can't be read.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { DHCP_CLIENTS, forward, type ForwarderOptions, OFFLOADS } from '../guest/forwarder.ts';
import { parseStreamUrl } from '../guest/stream-url.ts';
import { type Mac, parseMac } from '../packet/mac.ts';
import { Arena } from '../runtime/arena.ts';
import { TurnLoop } from '../runtime/turn-loop.ts';
import { interfaceNames } from '../system/network-interface.ts';
import { isInterfaceName } from '../system/tap-device.ts';
import { ConfigError } from '../config/subnet.ts';
import { compileSooner } from './compiler.ts';
import { readFlags } from './flags.ts';
import { GVFORWARDER_FLAGS, type GvforwarderValues } from './gvforwarder-flags.ts';
import type { Environment } from './environment.ts';
import { descriptorSink, Log } from './log.ts';
import { banner } from './version.ts';

/** Bytes of memory for frames on their way; a part of it is used. */
const ARENA = 8 << 20;
/** Milliseconds between attempts. */
const PAUSE = 1000;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Runs until a signal comes. Resolves with the exit status. */
export async function gvforwarder(environment: Environment): Promise<number> {
  const line = readFlags(environment, GVFORWARDER_FLAGS);
  if (typeof line === 'number') return line;
  const { flags } = line;
  if (flags.version) {
    environment.stdout(`${banner(environment.name)}\n`);
    return 0;
  }
  const log = new Log(descriptorSink(2, environment.stderrIsTerminal));
  if (flags.debug) log.level = 'debug';
  for (const warning of line.warnings) log.warning(warning);
  const present = interfaceNames();
  const stopper = flags['stop-if-exist'].split(',').find((name) => name !== '' && present.includes(name));
  if (stopper !== undefined) {
    log.info(`interface ${stopper} prevented this program to run (-stop-if-exist= runs it all the same)`);
    return 0;
  }
  let options: ForwarderOptions;
  try {
    options = optionsOf(flags);
  } catch (error) {
    log.record('fatal', (error as Error).message);
    return 1;
  }
  log.debug(banner(environment.name));
  await retry(options, log);
  return 0;
}

/** Throws ConfigError, or TypeError for the URL. */
function optionsOf(flags: GvforwarderValues): ForwarderOptions {
  return {
    url: parseStreamUrl(flags.url),
    name: nameOf(flags.iface),
    mac: macOf(flags.mac),
    preexisting: flags.preexisting,
    offload: oneOf(OFFLOADS, 'offload', flags.offload),
    dhcp: oneOf(DHCP_CLIENTS, 'dhcp', flags.dhcp),
    resolver: flags['resolv-conf'],
  };
}

function nameOf(text: string): string {
  if (isInterfaceName(text)) return text;
  throw new ConfigError(`flag -iface: ${JSON.stringify(text)} is no name of an interface: want 1 to 15 bytes, without / and :`);
}

function macOf(text: string): Mac | undefined {
  if (text === '') return undefined;
  const mac = parseMac(text);
  if (mac === undefined || (mac.hi & 0x0100) !== 0)
    throw new ConfigError(`flag -mac: ${JSON.stringify(text)} is no MAC address of an interface`);
  return mac;
}

function oneOf<T extends string>(words: readonly T[], flag: string, text: string): T {
  const word = words.find((known) => known === text);
  if (word === undefined) throw new ConfigError(`flag -${flag} can't be ${JSON.stringify(text)}: want ${words.join(', ')}`);
  return word;
}

/** Until a signal comes. */
async function retry(options: ForwarderOptions, log: Log): Promise<void> {
  const abort = new AbortController();
  const { signal } = abort;
  for (const name of SIGNALS) process.once(name, () => abort.abort());
  const arena = new Arena(ARENA);
  const loop = new TurnLoop(arena);
  const run = {
    loop,
    arena,
    debug: (text: string) => log.debug(text),
    info: (text: string) => log.info(text),
    warning: (text: string) => log.warning(text),
  };
  compileSooner();
  try {
    while (!signal.aborted) {
      log.error(await forward(options, run, signal));
      await delay(PAUSE, undefined, { signal });
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    loop.close();
  }
  log.info('signal caught');
}
