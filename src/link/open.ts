/** From what a link is to be to the link: one place that knows all kinds. */
import { openDescriptor } from './descriptor.ts';
import type { Link, LinkEnvironment } from './link.ts';
import { receiveQemu } from './qemu.ts';
import type { DescriptorSpec, LinkSpec, StreamSpec } from './spec.ts';
import { openStdio } from './stdio.ts';
import { StreamConnector } from './stream-connector.ts';
import { type Receive, StreamListener } from './stream-listener.ts';
import { receiveVpnkit, type VpnkitOptions } from './vpnkit.ts';

/** Rejects with SystemError, RangeError when the arena is full, or the resolver's error. */
export async function openLink(spec: LinkSpec, environment: LinkEnvironment, vpnkit: VpnkitOptions): Promise<Link> {
  switch (spec.transport) {
    case 'stream': {
      const receive = receiveFor(spec, vpnkit);
      if (spec.connect) return StreamConnector.open(spec.address, environment, receive, spec.name);
      return StreamListener.open(spec.address, environment, receive, spec.name);
    }
    case 'descriptor':
      return openDescriptor(spec, environment, receiveFor(spec, vpnkit));
    case 'stdio':
      return openStdio(spec, environment);
  }
}

function receiveFor({ kind, offload }: StreamSpec | DescriptorSpec, vpnkit: VpnkitOptions): Receive {
  return kind === 'vpnkit' ? receiveVpnkit(vpnkit) : receiveQemu(offload);
}
