/**
 * The shape of gvproxy's configuration file (contract §3.1, §3.2, §19), and keys of our own: `links`, `log-format`, `guest-api`,
 * `api-token-file`, `stack.isolation`, `stack.guard`.
 */
import { z } from 'zod';
import { parseDuration } from './duration.ts';
import { re2Fault } from './re2.ts';

const text = z.string().optional();
const texts = z.array(z.string()).optional();
const table = z.record(z.string(), z.string()).optional();

const expression = z.string().check((context) => {
  const fault = re2Fault(context.value);
  if (fault !== undefined) context.issues.push({ code: 'custom', message: fault, input: context.value });
});

const record = z.object({ name: text, ip: text, regexp: expression.optional() });
const zone = z.object({ name: text, records: z.array(record).optional(), defaultIP: text });

const stack = z.object({
  debug: z.boolean().optional(),
  'capture-file': text,
  mtu: z.int().optional(),
  subnet: text,
  gatewayIP: text,
  deviceIP: text,
  hostIP: text,
  ipv4: z.boolean().optional(),
  ipv6: z.boolean().optional(),
  subnet6: text,
  gatewayIP6: text,
  deviceIP6: text,
  hostIP6: text,
  gatewayMacAddress: text,
  dns: z.array(zone).optional(),
  dnsSearchDomains: texts,
  forwards: table,
  nat: table,
  gatewayVirtualIPs: texts,
  dhcpStaticLeases: table,
  vpnKitUUIDMacAddresses: table,
  ec2MetadataAccess: z.boolean().optional(),
  isolation: z.boolean().optional(),
  guard: z.enum(['off', 'mac', 'lease'], 'want off, mac or lease').optional(),
  tcpMaxInFlight: z.int().optional(),
  tcpConnectTimeout: z
    .string()
    .refine((value) => parseDuration(value) !== undefined, 'want a time such as 30s or 1m30s, or a number of seconds')
    .optional(),
});

const forward = z.object({ socket: text, dest: text, user: text, identity: text });

export const FILE_SCHEMA = z.object({
  listen: texts,
  'log-level': text,
  'log-file': text,
  'log-format': z.enum(['text', 'json'], 'want text or json').optional(),
  'pid-file': text,
  'guest-api': z.enum(['full', 'read-only', 'off'], 'want full, read-only or off').optional(),
  'api-token-file': text,
  services: text,
  notification: text,
  'ec2-metadata-access': z.boolean().optional(),
  interfaces: z.object({ vpnkit: text, qemu: text, bess: text, stdio: text, vfkit: text }).optional(),
  links: texts,
  forwards: z.array(forward).optional(),
  stack: stack.optional(),
});

/** What a configuration file says; what it leaves out, or leaves empty, is missing. */
export type ConfigFile = z.infer<typeof FILE_SCHEMA>;
