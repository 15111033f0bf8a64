/** A configuration as the file that would lead to it: what `guestwire config` prints. */
import { stringify } from 'yaml';
import type { DnsZone } from '../network-options.ts';
import type { GvproxyConfig, StackConfig } from './gvproxy-config.ts';

/** YAML that `-config` reads back to the same; what is empty, 0 or false is left out. */
export function effectiveConfig(config: GvproxyConfig): string {
  const file = {
    listen: config.listen,
    'log-level': config.logLevel,
    'log-file': config.logFile,
    'log-format': config.logFormat === 'text' ? '' : config.logFormat,
    'pid-file': config.pidFile,
    'guest-api': config.guestApi === (config.stack.isolation === true ? 'read-only' : 'full') ? '' : config.guestApi,
    'api-token-file': config.apiTokenFile,
    services: config.services,
    notification: config.notification,
    interfaces: withoutEmpty(config.interfaces),
    links: config.links,
    forwards: config.forwards,
    stack: stackOf(config.stack),
  };
  return stringify(withoutEmpty(file), { aliasDuplicateObjects: false, lineWidth: 0 });
}

function stackOf(stack: StackConfig): Record<string, unknown> {
  const { captureFile, tcpConnectTimeout, dns = [], ipv4, ...rest } = stack;
  const timeout = tcpConnectTimeout === undefined ? '' : `${tcpConnectTimeout}ms`;
  const known = withoutEmpty({ ...rest, 'capture-file': captureFile, dns: dns.map(zoneOf), tcpConnectTimeout: timeout });
  // Here `false` says something.
  return ipv4 === false ? { ...known, ipv4 } : known;
}

function zoneOf({ name, records, defaultIP }: DnsZone): Record<string, unknown> {
  const known = records.map((record) => withoutEmpty({ name: record.name, ip: record.ip, regexp: record.pattern?.source }));
  return withoutEmpty({ name, records: known, defaultIP });
}

function withoutEmpty(values: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => !isEmpty(value)));
}

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === '' || value === 0 || value === false) return true;
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0;
}
