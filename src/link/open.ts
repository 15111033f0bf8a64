/** From what a link is to be to the link: one place that knows all kinds. */
import { openBess } from './bess.ts';
import { openDescriptor } from './descriptor.ts';
import { openMulticast, openUdpDgram } from './dgram-udp.ts';
import { openUnixDgram } from './dgram-unix.ts';
import type { Link, LinkEnvironment } from './link.ts';
import { LARGEST_FRAME } from './port.ts';
import { receiveQemu } from './qemu.ts';
import type { DescriptorSpec, LinkSpec, StreamSpec } from './spec.ts';
import { openStdio } from './stdio.ts';
import { StreamConnector } from './stream-connector.ts';
import { type Receive, StreamListener } from './stream-listener.ts';
import { openTapLink } from './tap.ts';
import { openVfkit } from './vfkit.ts';
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
    case 'unixpacket':
      return openBess(spec, environment);
    case 'unixgram':
      return openVfkit({ ...spec, largestFrame: spec.largeFrames ? LARGEST_FRAME : 0 }, environment);
    case 'dgram-unix':
      return openUnixDgram(spec, environment);
    case 'dgram-udp':
      return openUdpDgram(spec, environment);
    case 'multicast':
      return openMulticast(spec, environment);
    case 'tap':
      break;
  }
  return openTapLink(spec, environment);
}

function receiveFor({ kind, offload }: StreamSpec | DescriptorSpec, vpnkit: VpnkitOptions): Receive {
  return kind === 'vpnkit' ? receiveVpnkit(vpnkit) : receiveQemu(offload);
}
