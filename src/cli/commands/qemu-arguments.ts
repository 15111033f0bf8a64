/** What QEMU is to be told so that its VM is on a network of ours. */

/** Of the `-netdev` that is added. */
const ID = 'guestwire';
/** In QEMU's arguments: the path of the network's socket. */
export const SOCKET_MARK = '{socket}';
const NETWORK_OPTIONS = /^--?(netdev|nic|net)$/;

export interface QemuNetwork {
  /** Path of the socket on which the network listens for QEMU. */
  readonly socket: string;
  readonly mac: string;
  readonly mtu: number;
  readonly device: string;
  /** The program's, as [major, minor]. */
  readonly version: readonly [number, number];
}

export interface QemuArguments {
  readonly args: readonly string[];
  /** QEMU wants a connection to the socket as descriptor 3. */
  readonly inherits: boolean;
  /** The option by which the arguments say themselves how QEMU is on a network. */
  readonly own: string | undefined;
}

/** `-netdev stream` came with QEMU 7.2. */
export function qemuArguments(words: readonly string[], network: QemuNetwork): QemuArguments {
  const { socket, mac, mtu, device, version } = network;
  const args = words.map((word) => word.replaceAll(SOCKET_MARK, escaped(socket)));
  const own = words.find((word) => NETWORK_OPTIONS.test(word));
  if (own !== undefined) return { args, inherits: false, own };
  const [major, minor] = version;
  const inherits = major < 7 || (major === 7 && minor < 2);
  const netdev = inherits ? `socket,id=${ID},fd=3` : `stream,id=${ID},server=off,addr.type=unix,addr.path=${escaped(socket)}`;
  // A guest that asks for no lease learns the MTU from the card.
  const card = `${device},netdev=${ID},mac=${mac}${mtu === 1500 ? '' : `,host_mtu=${mtu}`}`;
  return { args: ['-netdev', netdev, '-device', card, ...args], inherits, own };
}

/** A comma in a value of QEMU's options is written twice. */
function escaped(text: string): string {
  return text.replaceAll(',', ',,');
}
