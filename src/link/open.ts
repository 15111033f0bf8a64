/** From what a link is to be to the link: one place that knows all kinds. */
import type { Link, LinkEnvironment } from './link.ts';
import { receiveQemu } from './qemu.ts';
import type { LinkSpec } from './spec.ts';
import { type Receive, StreamListener } from './stream-listener.ts';
import { receiveVpnkit, type VpnkitOptions } from './vpnkit.ts';

/** Rejects with SystemError, RangeError when the arena is full, or the resolver's error. */
export async function openLink(spec: LinkSpec, environment: LinkEnvironment, vpnkit: VpnkitOptions): Promise<Link> {
  return StreamListener.open(spec.address, environment, receive(spec, vpnkit), spec.name);
}

function receive({ kind, offload }: LinkSpec, vpnkit: VpnkitOptions): Receive {
  return kind === 'vpnkit' ? receiveVpnkit(vpnkit) : receiveQemu(offload);
}
