/** What a link is to be, as plain data: what the text of a link (`config/link-url.ts`) comes to. */
import type { IpAddress } from '../packet/address.ts';

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
  /** `unix://PATH`, `tcp://HOST:PORT` or `vsock://:PORT`. */
  readonly address: string;
  /** The VM's side listens there, and we connect; `qemu` only. */
  readonly connect: boolean;
  /** A virtio-net header of 12 bytes stands in front of each frame; `qemu` only. */
  readonly offload: boolean;
}

/** A socket that whoever started this process has opened: one that listens, or the connection to a VM. */
export interface DescriptorSpec extends CommonSpec {
  readonly transport: 'descriptor';
  /** What kind of socket it must be; `fd`: its type says how frames are carried, a stream carries them as QEMU does. */
  readonly kind: 'qemu' | 'vpnkit' | 'bess' | 'dgram' | 'fd';
  /** Its number, or the name that systemd has for it; empty for the only one. */
  readonly descriptor: number | string;
  /** As of StreamSpec; not of `vpnkit`. */
  readonly offload: boolean;
  /** As of VfkitSpec; of datagram sockets. */
  readonly largeFrames: boolean;
}

/** Standard input and output. */
export interface StdioSpec extends CommonSpec {
  readonly transport: 'stdio';
  readonly kind: 'stdio';
}

/** A SOCK_SEQPACKET socket that VMs connect to. */
export interface BessSpec extends CommonSpec {
  readonly transport: 'unixpacket';
  readonly kind: 'bess';
  readonly path: string;
}

/** A unix datagram socket that VMs send to. */
export interface VfkitSpec extends CommonSpec {
  readonly transport: 'unixgram';
  readonly kind: 'vfkit';
  readonly path: string;
  readonly offload: boolean;
  /** The VM takes frames of 64 KiB whatever its MTU, without a header that describes them. */
  readonly largeFrames: boolean;
}

export interface SocketPlace {
  readonly address: IpAddress;
  readonly port: number;
}

/** QEMU's datagram netdevs: between two paths, two addresses, or the members of a group. */
export type DgramSpec = CommonSpec & { readonly kind: 'dgram' } & (
    | { readonly transport: 'dgram-unix'; readonly local: string; readonly remote: string }
    | { readonly transport: 'dgram-udp'; readonly local: SocketPlace; readonly remote: SocketPlace }
    | { readonly transport: 'multicast'; readonly group: SocketPlace; readonly interface?: IpAddress }
  );

/** A TAP interface of the host. */
export interface TapSpec extends CommonSpec {
  readonly transport: 'tap';
  readonly kind: 'tap';
  /** Of the interface. */
  readonly device: string;
  readonly offload: boolean;
}

export type LinkSpec = StreamSpec | DescriptorSpec | StdioSpec | BessSpec | VfkitSpec | DgramSpec | TapSpec;
