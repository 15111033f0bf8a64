/** What a link is to be, as plain data: what the text of a link (`config/link-url.ts`) comes to. */

/** How a VM came in: through a link of that kind, or by a connection that was handed over (`socket`). */
export type LinkKind = 'qemu' | 'bess' | 'vfkit' | 'vpnkit' | 'stdio' | 'dgram' | 'tap' | 'fd' | 'socket';

interface CommonSpec {
  /** What listings call its VM; further VMs of the same link have `-2` and so on behind it. Default: the peer's address. */
  readonly name?: string;
}

/** A stream socket that VMs connect to, or that is connected to. */
export interface StreamSpec extends CommonSpec {
  readonly transport: 'stream';
  readonly kind: 'qemu' | 'vpnkit';
  /** `unix://PATH` or `tcp://HOST:PORT`. */
  readonly address: string;
  /** The VM's side listens there, and we connect; `qemu` only. */
  readonly connect: boolean;
  /** A virtio-net header of 12 bytes stands in front of each frame; `qemu` only. */
  readonly offload: boolean;
}

/** An inherited descriptor of a socket that listens, or of a connection. `fd`: it decides itself how frames are carried. */
export interface DescriptorSpec extends CommonSpec {
  readonly transport: 'descriptor';
  readonly kind: 'qemu' | 'vpnkit' | 'fd';
  readonly descriptor: number;
  /** As of StreamSpec. */
  readonly offload: boolean;
}

/** Standard input and output. */
export interface StdioSpec extends CommonSpec {
  readonly transport: 'stdio';
  readonly kind: 'stdio';
}

export type LinkSpec = StreamSpec | DescriptorSpec | StdioSpec;
