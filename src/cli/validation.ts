/** What a configuration must satisfy before anything starts, with gvproxy's messages; what to do about it stands behind them. */
import { existsSync, statSync } from 'node:fs';
import { isSshPort } from '../config/defaults.ts';
import type { GvproxyConfig } from '../config/gvproxy-config.ts';
import { parseLinkUrl } from '../config/link-url.ts';
import { ConfigError } from '../config/subnet.ts';
import { adviceForExisting } from './existing-path.ts';
import { fileErrorText } from './go-errors.ts';
import type { GvproxyValues } from './gvproxy-flags.ts';
import { type ListenAddress, parseListenAddress } from './listen-address.ts';

type RefuseExisting = (path: string) => void;

/**
 * Contract §2.3 from row 6 on, in its order. Throws ConfigError. Returns the configuration with the path to notify. `inUse`: sockets
 * that there are already are those of a program that runs with this configuration.
 */
export function validate(flags: GvproxyValues, config: GvproxyConfig, { inUse = false }: { inUse?: boolean } = {}): GvproxyConfig {
  const refuseExisting = inUse ? (): void => {} : refuseFile;
  const { qemu, vpnkit, bess, vfkit } = config.interfaces;
  const notification = flags.notification === '' ? config.notification : notifiedPath(flags.notification);
  validateQemu(qemu, refuseExisting);
  validateSocket('bess', bess, 'unixpacket', refuseExisting);
  validateSocket('vfkit', vfkit, 'unixgram', refuseExisting);
  exclude('qemu', qemu, 'vpnkit', vpnkit);
  exclude('bess', bess, 'vpnkit', vpnkit);
  exclude('qemu', qemu, 'bess', bess);
  const sshPort = flags['ssh-port'];
  if (flags.config === '' && sshPort !== -1 && !isSshPort(sshPort)) throw new ConfigError('ssh-port value must be between 1024 and 65535');
  validateForwards(flags, config);
  for (const url of config.links) validateLink(url, refuseExisting);
  return { ...config, notification };
}

/** The configuration file has a path, the flag a URL (contract §3.1). */
function notifiedPath(text: string): string {
  const { scheme, path } = parsed('notification', text, 'unix:///path');
  if (scheme !== 'unix') throw new ConfigError('notification listen address must be unix:// address');
  return path;
}

function validateQemu(text: string, refuseExisting: RefuseExisting): void {
  if (text === '') return;
  const { scheme, path } = parsed('qemu', text, 'unix:///path or tcp://host:port');
  if (scheme === 'unix') refuseExisting(path);
}

function validateSocket(name: 'bess' | 'vfkit', text: string, wanted: string, refuseExisting: RefuseExisting): void {
  if (text === '') return;
  const { scheme, path } = parsed(name, text, `${wanted}:///path`);
  if (scheme !== wanted) throw new ConfigError(`${name} listen address must be ${wanted}:// address`);
  refuseExisting(path);
}

/** Ours, after all rows of the original. A datagram link clears the way for its own socket. */
function validateLink(url: string, refuseExisting: RefuseExisting): void {
  const link = parseLinkUrl(url);
  if (link.transport === 'unixpacket' || link.transport === 'unixgram') refuseExisting(link.path);
  if (link.transport !== 'stream' || link.connect) return;
  const { scheme, path } = parseListenAddress(link.address);
  if (scheme === 'unix') refuseExisting(path);
}

function parsed(name: string, text: string, wanted: string): ListenAddress {
  try {
    return parseListenAddress(text);
  } catch (error) {
    throw new ConfigError(`invalid value for ${name} listen address: ${(error as Error).message} (want ${wanted})`);
  }
}

function refuseFile(path: string): void {
  if (path !== '' && existsSync(path)) throw new ConfigError(`"${path}" already exists (${adviceForExisting(path)})`);
}

function exclude(one: string, first: string, other: string, second: string): void {
  if (first !== '' && second !== '') throw new ConfigError(`cannot use ${one} and ${other} protocol at the same time`);
}

function validateForwards(flags: GvproxyValues, { forwards }: GvproxyConfig): void {
  const lists = [flags['forward-sock'], flags['forward-dest'], flags['forward-user'], flags['forward-identity']];
  if (new Set(lists.map((list) => list.length)).size > 1) {
    throw new ConfigError(
      '--forward-sock, --forward-dest, --forward-user, and --forward-identity must all be specified together, the same number of times, or not at all',
    );
  }
  for (const { identity } of forwards) {
    try {
      statSync(identity);
    } catch (error) {
      throw new ConfigError(`identity file "${identity}" can't be loaded: ${fileErrorText(error)}`);
    }
  }
}
