/** Our own DHCP client on a configured interface, for machines that bring none. */
import { formatIpv4 } from '../packet/address.ts';
import type { DhcpLease } from '../packet/dhcpv4-client.ts';
import { formatMac } from '../packet/mac.ts';
import type { TimerWheel } from '../runtime/timer-wheel.ts';
import { SystemRandom } from '../runtime/wall-clock.ts';
import type { ConfiguredInterface } from './configured-interface.ts';
import { DhcpClient } from './dhcp-client.ts';

export interface OwnDhcpEnvironment {
  readonly loop: { readonly timers: TimerWheel };
  readonly info: (text: string) => void;
  readonly warning: (text: string) => void;
}

/** `send` puts a frame on the network, `failed` hears why a lease could not be set. Throws SystemError when there is no such interface. */
export function startOwnDhcp(
  device: ConfiguredInterface,
  name: string,
  send: (frame: Uint8Array) => void,
  { loop, info, warning }: OwnDhcpEnvironment,
  failed: (reason: string) => void,
): DhcpClient {
  const { mac } = device;
  const random = new SystemRandom();
  const configure = (lease: DhcpLease): void => {
    const { address, router, time } = lease;
    info(`${name} has ${formatIpv4(address)} for ${time} s, router ${router === 0 ? 'none' : formatIpv4(router)}`);
    try {
      const left = device.configure(lease);
      if (left !== undefined) warning(left);
    } catch (error) {
      failed((error as Error).message);
    }
  };
  return new DhcpClient({
    mac,
    timers: loop.timers,
    random: () => random.word() >>> 0,
    send,
    bound: configure,
    lost(reason) {
      warning(reason);
      try {
        device.unconfigure();
      } catch (error) {
        failed((error as Error).message);
      }
    },
    silent: () => warning(`no DHCP server answers ${formatMac(mac.hi, mac.lo)} on ${name}`),
  });
}
