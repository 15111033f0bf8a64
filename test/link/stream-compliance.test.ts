/** Stream links beside QEMU's through the suite that every link passes. LINK_FRAMES=N: how many frames the long runs have. */
import { join } from 'node:path';
import { openDescriptor } from '../../src/link/descriptor.ts';
import { VPNKIT_FRAMING } from '../../src/link/framing.ts';
import type { Link } from '../../src/link/link.ts';
import { receiveQemu } from '../../src/link/qemu.ts';
import { StreamAttachment } from '../../src/link/stream-attachment.ts';
import { StreamConnector } from '../../src/link/stream-connector.ts';
import { StreamListener } from '../../src/link/stream-listener.ts';
import { receiveVpnkit } from '../../src/link/vpnkit.ts';
import { SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM } from '../../src/system/constants.ts';
import { check } from '../../src/system/error.ts';
import { accept4, close } from '../../src/system/syscalls.ts';
import { listenUnix } from '../../src/system/unix-listener.ts';
import { complies, type LinkAdapter, type OpenLink } from './compliance.ts';
import { StreamEnd } from './vm-ends.ts';

const FRAMES = Number(process.env['LINK_FRAMES'] ?? 1_000_000) / 20;

const STREAM = {
  frames: FRAMES,
  largest: 131_072,
  oversize: { bytes: 131_073, is: 'disconnected' },
  empty: true,
  lossless: true,
  vms: 64,
  end: 'told',
  reconnects: true,
  vnet: false,
} as const satisfies Partial<LinkAdapter>;

/** The largest that 16 bits say; there is no larger. */
const SHORT = { ...STREAM, largest: 65_535, oversize: null } as const;
/** A link of one VM. */
const SINGLE = { vms: 1, reconnects: false } as const;

function accepted(listener: number): number {
  return check(accept4(listener, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC), 'accept');
}

/** Both ends of a connection: the link's, and the VM's. */
function pair(folder: string, name: string, field: 'u32be' | 'u16le' = 'u32be'): [near: number, far: StreamEnd] {
  const path = join(folder, name);
  const { fd, remove } = listenUnix(path, 1);
  const far = StreamEnd.unix(SOCK_STREAM, path, field);
  const near = accepted(fd);
  close(fd);
  remove();
  return [near, far];
}

/** The VM was there before the link; where the suite doesn't ask for it, it goes with the link. */
function single(link: Link, far: StreamEnd): OpenLink {
  let asked = false;
  const close = (): void => {
    link.close();
    if (!asked) far.close();
  };
  const attach = (): StreamEnd => {
    asked = true;
    return far;
  };
  return { link: { address: link.address, refused: link.refused, close, [Symbol.dispose]: close }, attach };
}

complies({
  ...STREAM,
  name: 'QEMU, with virtio-net headers',
  largest: 131_060,
  oversize: { bytes: 131_061, is: 'disconnected' },
  vnet: true,
  async open(environment, folder) {
    const path = join(folder, 'qemu.sock');
    const link = await StreamListener.open(`unix://${path}`, environment, receiveQemu(true));
    return { link, attach: () => StreamEnd.unix(SOCK_STREAM, path, 'u32be') };
  },
});

complies({
  ...SHORT,
  name: 'VPNKit, after its handshake',
  async open(environment, folder) {
    const path = join(folder, 'vpnkit.sock');
    const receive = receiveVpnkit({ mtu: 1500, macs: {}, random: { word: () => 7 } });
    const link = await StreamListener.open(`unix://${path}`, environment, receive);
    const attach = (): StreamEnd => {
      const vm = StreamEnd.unix(SOCK_STREAM, path, 'u16le', 49 + 258);
      vm.sendBytes(new Uint8Array(49 + 41));
      return vm;
    };
    return { link, attach };
  },
});

complies({
  ...STREAM,
  ...SINGLE,
  name: 'QEMU that listens',
  async open(environment, folder) {
    const path = join(folder, 'listens.sock');
    const { fd, remove } = listenUnix(path, 1);
    const link = await StreamConnector.open(`unix://${path}`, environment, receiveQemu(false));
    const far = new StreamEnd(accepted(fd), 'u32be');
    close(fd);
    remove();
    return single(link, far);
  },
});

complies({
  ...STREAM,
  ...SINGLE,
  name: 'an inherited connection',
  async open(environment, folder) {
    const [near, far] = pair(folder, 'inherited');
    const link = openDescriptor(
      { transport: 'descriptor', kind: 'fd', descriptor: near, offload: false, largeFrames: false },
      environment,
      receiveQemu(false),
    );
    return Promise.resolve(single(link, far));
  },
});

complies({
  ...SHORT,
  ...SINGLE,
  name: 'two one-way streams, as standard input and output are',
  async open(environment, folder) {
    const paths = [join(folder, 'in'), join(folder, 'out')];
    const [input, output] = paths.map((path) => {
      const { fd, remove } = listenUnix(path, 1);
      return { fd, remove, path };
    });
    const far = StreamEnd.twoWay(output!.path, input!.path, 'u16le');
    const [near, out] = [accepted(input!.fd), accepted(output!.fd)];
    for (const { fd, remove } of [input!, output!]) {
      close(fd);
      remove();
    }
    const link = new StreamAttachment('stdio:', environment, (ports) => ports.attach(near, VPNKIT_FRAMING, 'stdio', out) !== null);
    return Promise.resolve(single(link, far));
  },
});
