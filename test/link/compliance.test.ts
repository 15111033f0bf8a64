/** Every link through the one suite. LINK_FRAMES=N: how many frames the long runs have. */
import { join } from 'node:path';
import { SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM } from '../../src/system/constants.ts';
import { openVfkit, type VfkitSpec } from '../../src/link/vfkit.ts';
import { openBess } from '../../src/link/bess.ts';
import { receiveQemu } from '../../src/link/qemu.ts';
import { StreamListener } from '../../src/link/stream-listener.ts';
import { complies, type LinkAdapter } from './compliance.ts';
import { MessageEnd, StreamEnd } from './vm-ends.ts';

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
