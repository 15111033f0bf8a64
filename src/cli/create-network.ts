/** Makes the network that the flags ask for; what goes wrong names the flag to blame. */
import { readFileSync } from 'node:fs';
import { commandLineNetwork, MTU_MAXIMUM, MTU_MINIMUM } from '../config/defaults.ts';
import { type AddressPlan, ConfigError } from '../config/subnet.ts';
import { VirtualNetwork } from '../network.ts';
import type { NetworkOptions } from '../network-options.ts';
import { parseSearchDomains } from '../service/dns/host-files.ts';
import { fileErrorText, listenErrorText } from './go-errors.ts';
import type { GvproxyValues } from './gvproxy-flags.ts';
import type { Log } from './log.ts';

export async function createNetwork(addresses: AddressPlan, values: GvproxyValues, log: Log): Promise<VirtualNetwork> {
  let options: NetworkOptions;
  try {
    options = networkOptions(addresses, values, log);
  } catch (error) {
    // The addresses have been checked: the MTU is all that is left to refuse.
    if (error instanceof ConfigError)
      throw new Error(`${error.message}: ${values.mtu} (flag -mtu takes ${MTU_MINIMUM} to ${MTU_MAXIMUM})`, { cause: error });
    throw error;
  }
  try {
    return await VirtualNetwork.create(options);
  } catch (error) {
    const { syscall, port, path } = error as NodeJS.ErrnoException & { port?: number };
    if (path === values.pcap) throw new Error(`${fileErrorText(error)} (flag -pcap)`, { cause: error });
    if (syscall === undefined || port !== values['ssh-port']) throw error;
    const advice = 'flag -ssh-port takes another port, or -1 for none';
    throw new Error(`cannot add network services: ${listenErrorText(error)} (${advice})`, { cause: error });
  }
}

function networkOptions(addresses: AddressPlan, values: GvproxyValues, log: Log): NetworkOptions {
  let searchDomains: readonly string[] = [];
  try {
    searchDomains = parseSearchDomains(readFileSync('/etc/resolv.conf', 'utf8'));
  } catch (error) {
    log.error(`cannot read search domains: ${(error as Error).message}`);
  }
  return commandLineNetwork({
    addresses,
    mtu: values.mtu,
    sshPort: values['ssh-port'],
    captureFile: values.pcap,
    searchDomains,
    ec2MetadataAccess: values['ec2-metadata-access'],
  });
}
