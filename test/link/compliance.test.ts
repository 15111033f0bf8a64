/** Every link through the one suite. LINK_FRAMES=N: how many frames the long runs have. */
import { join } from 'node:path';
import { IpAddress } from '../../src/packet/address.ts';
import { SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM } from '../../src/system/constants.ts';
import { openVfkit, type VfkitSpec } from '../../src/link/vfkit.ts';
import { openMulticast, openUdpDgram } from '../../src/link/dgram-udp.ts';
import { openUnixDgram } from '../../src/link/dgram-unix.ts';
import { openBess } from '../../src/link/bess.ts';
import { receiveQemu } from '../../src/link/qemu.ts';
import { StreamListener } from '../../src/link/stream-listener.ts';
import { attachMessageDescriptor } from '../../src/link/message-descriptor.ts';
import { close } from '../../src/system/syscalls.ts';
import { takeInherited } from '../../src/system/inherited.ts';
import { socketpair } from '../system/descriptors.ts';
import { complies, type LinkAdapter } from './compliance.ts';
import { MessageEnd, MulticastEnd, StreamEnd, UnconnectedEnd } from './vm-ends.ts';

const MILLION = Number(process.env.LINK_FRAMES ?? 1_000_000);

const SHORT = MILLION / 10;
let count = 0;

const STREAM = {
  frames: MILLION,
  largest: 131_072,
  oversize: { bytes: 131_073, is: 'disconnected' },
  empty: true,
  lossless: true,
  vms: 64,
  end: 'told',
  reconnects: true,
  vnet: false,
} as const satisfies Partial<LinkAdapter>;

complies({
  ...STREAM,
  name: 'QEMU, stream over a unix socket',
  async open(environment, folder) {
    const path = join(folder, 'qemu.sock');
    const link = await StreamListener.open(`unix://${path}`, environment, receiveQemu(false));
    return { link, attach: () => StreamEnd.unix(SOCK_STREAM, path, 'u32be') };
  },
});

complies({
  ...STREAM,
  name: 'User Mode Linux, bess',
  largest: 69_632,
  oversize: { bytes: 69_633, is: 'lost' },
  // No bytes are the end of the connection.
  empty: false,
  async open(environment, folder) {
    const path = join(folder, 'bess.sock');
    return { link: openBess({ path }, environment), attach: () => MessageEnd.unix(SOCK_SEQPACKET, path) };
  },
});

const VFKIT = {
  ...STREAM,
  frames: SHORT,
  largest: 69_632,
  oversize: { bytes: 69_633, is: 'lost' },
  end: 'noticed',
} as const satisfies Partial<LinkAdapter>;

/** A VM bound to a path of its own, connected to the link's. */
function vfkit(spec: Omit<VfkitSpec, 'path'>): LinkAdapter['open'] {
  return async (environment, folder) => {
    const path = join(folder, 'vfkit.sock');
    const link = openVfkit({ path, ...spec }, environment);
    const attach = (): MessageEnd => {
      const vm = MessageEnd.unix(SOCK_DGRAM, path, join(folder, `vfkit-${count++}.sock`));
      vm.send(Buffer.from('VFKT'));
      return vm;
    };
    return { link, attach };
  };
}

complies({ ...VFKIT, name: 'vfkit, unixgram', open: vfkit({}) });
complies({
  ...VFKIT,
  name: 'vfkit, unixgram with virtio-net headers',
  largest: 69_620,
  oversize: { bytes: 69_621, is: 'lost' },
  vnet: true,
  open: vfkit({ offload: true }),
});

const DGRAM = { ...VFKIT, vms: 1, end: 'unknown', reconnects: false } as const satisfies Partial<LinkAdapter>;
const UDP = { ...DGRAM, largest: 65_507, oversize: null, lossless: false } as const satisfies Partial<LinkAdapter>;
const LOOPBACK = IpAddress.parse('127.0.0.1')!;
/** Of datagram sockets that stand still between two tests. */
const PORT = 47_000 + (process.pid % 10_000);

complies({
  ...DGRAM,
  name: 'QEMU, dgram between unix sockets',
  async open(environment, folder) {
    const [local, remote] = [join(folder, 'local.sock'), join(folder, `remote-${count++}.sock`)];
    return { link: openUnixDgram({ local, remote }, environment), attach: () => UnconnectedEnd.unix(local, remote) };
  },
});

complies({
  ...UDP,
  name: 'QEMU, dgram over UDP',
  async open(environment) {
    const remote = { address: LOOPBACK, port: PORT };
    const link = openUdpDgram({ local: { address: LOOPBACK, port: 0 }, remote }, environment);
    return { link, attach: () => UnconnectedEnd.udp(PORT, Number(/\d+$/.exec(link.address)![0])) };
  },
});

complies({
  ...UDP,
  name: 'QEMU, socket,mcast=',
  async open(environment) {
    const group = { address: IpAddress.parse('239.255.71.1')!, port: PORT };
    return { link: openMulticast({ group, interface: LOOPBACK }, environment), attach: () => new MulticastEnd('239.255.71.1', PORT) };
  },
});

/** One end of a pair, as the program that starts both gives it to us. */
function inherited(type: number, offload: boolean): LinkAdapter['open'] {
  return async (environment) => {
    const [ours, theirs] = socketpair(type);
    const link = attachMessageDescriptor(takeInherited(ours), { offload }, environment);
    let used = false;
    const attach = (): MessageEnd => {
      used = true;
      return new MessageEnd(theirs);
    };
    const end = link.close.bind(link);
    const closed = (): void => {
      end();
      if (!used) close(theirs);
      used = true;
    };
    return { link: { address: link.address, refused: 0, close: closed, [Symbol.dispose]: closed }, attach };
  };
}

const PAIR = { ...DGRAM, end: 'told' } as const satisfies Partial<LinkAdapter>;
complies({ ...PAIR, name: 'fd of a SOCK_SEQPACKET pair', empty: false, open: inherited(SOCK_SEQPACKET, false) });
complies({ ...PAIR, name: 'fd of a SOCK_DGRAM pair', end: 'noticed', open: inherited(SOCK_DGRAM, false) });
complies({
  ...PAIR,
  name: 'fd of a SOCK_DGRAM pair with virtio-net headers',
  largest: 69_620,
  oversize: { bytes: 69_621, is: 'lost' },
  end: 'noticed',
  vnet: true,
  open: inherited(SOCK_DGRAM, true),
});
