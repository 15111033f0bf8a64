/** What a command line must satisfy before anything starts, with gvproxy's messages. */
import { existsSync } from 'node:fs';
import { isSshPort } from '../config/defaults.ts';
import { type AddressPlan, ConfigError, planAddresses } from '../config/subnet.ts';
import { adviceForExisting } from './existing-path.ts';
import { type GvproxyValues, LATER_FLAGS } from './gvproxy-flags.ts';
import { checkListenAddress } from './listen-address.ts';

/** Contract §2.3, in its order. Throws ConfigError. */
export function validate(values: GvproxyValues, program: string): AddressPlan {
  for (const name of LATER_FLAGS) {
    const value = values[name] as string | readonly string[];
    if (value.length > 0) {
      throw new ConfigError(`flag -${name} is not supported by this version of guestwire; ${program} -help marks those that are not`);
    }
  }
  const addresses = planAddresses(values.subnet, values.gatewayIP, values.deviceIP, values.hostIP);
  validateQemu(values['listen-qemu']);
  const sshPort = values['ssh-port'];
  if (sshPort !== -1 && !isSshPort(sshPort)) throw new ConfigError('ssh-port value must be between 1024 and 65535');
  return addresses;
}

function validateQemu(text: string): void {
  if (text === '') return;
  let path: string | undefined;
  try {
    path = checkListenAddress(text);
  } catch (error) {
    throw new ConfigError(`invalid value for qemu listen address: ${(error as Error).message} (want unix:///path or tcp://host:port)`);
  }
  if (path !== undefined && existsSync(path)) throw new ConfigError(`"${path}" already exists (${adviceForExisting(path)})`);
}
