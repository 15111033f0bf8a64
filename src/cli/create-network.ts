/** Makes the network of a configuration; what goes wrong names the flag or the key to blame. */
import { isMtu, MTU_MAXIMUM, MTU_MINIMUM } from '../config/defaults.ts';
import type { GvproxyConfig } from '../config/gvproxy-config.ts';
import { VirtualNetwork } from '../network.ts';
import { fileErrorText, listenErrorText } from './go-errors.ts';
import type { GvproxyValues } from './gvproxy-flags.ts';

export async function createNetwork({ stack }: GvproxyConfig, flags: GvproxyValues): Promise<VirtualNetwork> {
  const { debug: _, ...options } = stack;
  const { mtu, captureFile } = options;
  if (!isMtu(mtu!)) {
    const origin = flags.mtu === 0 ? 'stack.mtu' : 'flag -mtu';
    throw new Error(`mtu is out of range: ${mtu} (${origin} takes ${MTU_MINIMUM} to ${MTU_MAXIMUM})`);
  }
  try {
    return await VirtualNetwork.create(options);
  } catch (error) {
    const { syscall, port, path } = error as NodeJS.ErrnoException & { port?: number };
    const byFile = flags.config !== '';
    if (path !== undefined && path === captureFile)
      throw new Error(`${fileErrorText(error)} (${byFile ? 'stack.capture-file' : 'flag -pcap'})`, { cause: error });
    if (syscall === undefined || port === undefined) throw error;
    const advice = byFile ? 'stack.forwards asks for it' : 'flag -ssh-port takes another port, or -1 for none';
    throw new Error(`cannot add network services: ${listenErrorText(error)} (${advice})`, { cause: error });
  }
}
