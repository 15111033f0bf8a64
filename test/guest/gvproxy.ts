/** A running gvproxy with its socket, capture and log in a folder of its own. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { GVPROXY, Running, temporaryFolder, until } from './process.ts';

let nextPort = 21_000 + (process.pid % 2000) * 4;

/** How VMs attach, and the scheme of the socket's URL. */
const LISTENERS = { qemu: 'unix', vpnkit: 'unix', bess: 'unixpacket', vfkit: 'unixgram' } as const;

export interface GvproxyOptions {
  /** Another gvproxy. */
  readonly program?: string;
  /** Which listener it opens at `socket`; default `qemu`. `stdio`: the VM is its parent. `none`: `flags` say how VMs attach. */
  readonly kind?: keyof typeof LISTENERS | 'stdio' | 'none';
  /** Another URL for the listener. */
  readonly url?: string;
  /** Writes every frame to the file `capture`. */
  readonly capture?: boolean;
  /** More flags, or what they are in the folder of the sockets. */
  readonly flags?: readonly string[] | ((folder: string) => readonly string[]);
}

/** A port of the host for a test of its own. */
export function freePort(): number {
  return nextPort++;
}

export class Gvproxy {
  readonly folder: string = temporaryFolder();
  readonly socket: string = join(this.folder, 'vm.sock');
  readonly capture: string = join(this.folder, 'capture.pcapng');
  readonly sshPort: number = freePort();
  readonly process: Running;
  readonly url: string;

  private constructor({ program = GVPROXY, kind = 'qemu', url, capture = false, flags = [] }: GvproxyOptions) {
    if (kind === 'none' || kind === 'stdio') this.url = '';
    else this.url = url ?? `${LISTENERS[kind]}://${this.socket}`;
    const listener = kind === 'stdio' ? ['-listen-stdio', 'accept'] : [`-listen-${kind}`, this.url];
    const args = [
      ...(kind === 'none' ? [] : listener),
      ...['-ssh-port', String(this.sshPort)],
      ...(capture ? ['-pcap', this.capture] : []),
      ...(typeof flags === 'function' ? flags(this.folder) : flags),
    ];
    this.process = new Running(program, args, { binary: kind === 'stdio' });
  }

  /** Starts it and waits for its socket; where it has none of its own, for the log's word that it waits for clients. */
  static async start(options: GvproxyOptions = {}): Promise<Gvproxy> {
    const gvproxy = new Gvproxy(options);
    const hasSocket = gvproxy.url !== '' && options.url === undefined;
    const listens = (): boolean => (hasSocket ? existsSync(gvproxy.socket) : gvproxy.process.output.includes('waiting for clients'));
    await until(() => listens() || gvproxy.process.child.exitCode !== null, `gvproxy to listen:\n${gvproxy.process.output}`);
    if (gvproxy.process.child.exitCode !== null) throw new Error(`gvproxy has ended:\n${gvproxy.process.output}`);
    return gvproxy;
  }
}
