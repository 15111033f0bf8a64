/**
 * Unix sockets of the host that lead through SSH into the guest: those of the configuration, and those that the API is asked for
 * (contract §14.4, §14.6). What they are made of is loaded when the first is there.
 */
import { type Forward, ForwardError } from '../forward/forward.ts';
import type { OpenSshTunnel } from '../forward/forwards.ts';
import { listenErrorText } from './go-errors.ts';
import type { Run } from './start.ts';

/** Opens the sockets at once; SSH follows when the guest is up, however long that takes. Rejects with what the log is to say. */
export async function startSshForwards({ network, config, log, atEnd }: Run): Promise<void> {
  if (config.forwards.length === 0) return;
  const [{ SshForward }, { parseForwardSocket, parseForwardTarget }] = await load();
  const { deviceIP, deviceIP6 } = network.addresses;
  // The device has an IPv4 address unless the network has none.
  const device = config.stack.ipv4 === false ? `[${deviceIP6}]` : deviceIP;
  const dial = network.dial.bind(network);
  for (const { socket, dest, user, identity } of config.forwards) {
    try {
      const local = parseForwardSocket(socket);
      const remote = parseForwardTarget(`ssh://${encodeURIComponent(user)}@${device}:22${dest}`, identity);
      // gvproxy ends here; the guest may only be slow.
      const onGivingUp = (error: Error): void => log.error(`${error.message} (going on)`);
      const forward = new SshForward({ local, remote, dial, log, connect: 'now', onGivingUp });
      atEnd(() => forward.close());
    } catch (error) {
      throw new Error(`cannot forward ${socket}: ${listenErrorText(error)}`, { cause: error });
    }
  }
}

/** `ssh-tunnel://` remotes of the forwards that are exposed while the network runs. */
export function sshTunnels({ network, log, atEnd }: Run): OpenSshTunnel {
  const open = new Set<{ close(): void }>();
  atEnd(() => {
    for (const forward of open) forward.close();
  });
  return async (local, remote): Promise<Forward> => {
    const [{ SshForward }, { parseSshTarget }] = await load();
    const dial = network.dial.bind(network);
    let target: ReturnType<typeof parseSshTarget>;
    try {
      target = parseSshTarget(remote);
    } catch (error) {
      throw new ForwardError('address', (error as Error).message, error);
    }
    try {
      const forward = new SshForward({ local, remote: target, dial, log, connect: 'first-connection' });
      open.add(forward);
      const close = (): void => {
        open.delete(forward);
        forward.close();
      };
      return { protocol: 'unix', local, remote, close, [Symbol.dispose]: close };
    } catch (error) {
      throw new ForwardError('bind', listenErrorText(error), error);
    }
  };
}

function load(): Promise<[typeof import('../ssh/forward.ts'), typeof import('../ssh/target.ts')]> {
  return Promise.all([import('../ssh/forward.ts'), import('../ssh/target.ts')]);
}
