/** A running gvproxy with its socket, capture and log in a folder of its own. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { GVPROXY, Running, temporaryFolder, until } from './process.ts';

let nextPort = 21_000 + (process.pid % 2000) * 4;

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

  private constructor(url: string | undefined, capture: boolean, extra: readonly string[]) {
    const flags = capture ? ['-pcap', this.capture, ...extra] : extra;
    this.url = url ?? `unix://${this.socket}`;
    this.process = new Running(GVPROXY, ['-listen-qemu', this.url, '-ssh-port', String(this.sshPort), ...flags]);
  }

  /** Starts it and waits for its socket. `capture` writes every frame to a file. */
  static async start(options: { url?: string; capture?: boolean; flags?: readonly string[] } = {}): Promise<Gvproxy> {
    const gvproxy = new Gvproxy(options.url, options.capture ?? false, options.flags ?? []);
    const listens = (): boolean =>
      options.url === undefined ? existsSync(gvproxy.socket) : gvproxy.process.output.includes('waiting for clients');
    await until(() => listens() || gvproxy.process.child.exitCode !== null, `gvproxy to listen:\n${gvproxy.process.output}`);
    if (gvproxy.process.child.exitCode !== null) throw new Error(`gvproxy has ended:\n${gvproxy.process.output}`);
    return gvproxy;
  }
}
