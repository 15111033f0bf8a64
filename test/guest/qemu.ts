/** A Linux guest in QEMU (software emulation), driven by commands on its second serial line. */
import { join } from 'node:path';
import { ROOT, Running, succeed, until } from './process.ts';

const FOLDER = join(ROOT, '.cache/guest');
const BOOT_TIMEOUT = 60_000;

/** Milliseconds one command may take under emulation. */
const COMMAND_TIMEOUT = 60_000;

export interface BootOptions {
  /** sshd, curl, nslookup and Node are there as well (scripts/guest/build-programs.mjs). */
  readonly programs?: boolean;
  /** Boots this image, made of the one with programs, instead. */
  readonly image?: string;
}

export class QemuGuest {
  readonly #qemu: Running;
  /** What the guest printed that no command has taken yet. */
  #seen = 0;

  private constructor(qemu: Running) {
    this.#qemu = qemu;
  }

  /** Boots with one network card on `netdev` (the option's value, with id n0). */
  static async boot(netdev: string, mac: string, { programs = false, image }: BootOptions = {}): Promise<QemuGuest> {
    await succeed(process.execPath, [join(ROOT, 'scripts/guest/build-image.mjs'), FOLDER], 120_000);
    if (programs) await succeed(process.execPath, [join(ROOT, 'scripts/guest/build-programs.mjs'), FOLDER], 120_000);
    const [standard, memory] = programs ? ['initramfs-programs.cpio', '900'] : ['initramfs.cpio', '256'];
    const qemu = new Running('qemu-system-x86_64', [
      ...['-machine', 'q35,accel=tcg', '-cpu', 'max', '-m', memory, '-smp', '1', '-nodefaults', '-no-reboot', '-display', 'none'],
      ...['-kernel', join(FOLDER, 'vmlinuz'), '-initrd', image ?? join(FOLDER, standard)],
      ...['-append', 'console=ttyS0 quiet panic=-1 tsc=unstable'],
      ...['-serial', 'null', '-serial', 'stdio'],
      ...['-netdev', netdev, '-device', `virtio-net-pci,netdev=n0,mac=${mac},romfile=`],
    ]);
    const guest = new QemuGuest(qemu);
    await guest.#waitFor(/@@ready\r?\n/, BOOT_TIMEOUT);
    return guest;
  }

  /** Runs a shell command line. Returns what it printed; rejects when its status is not 0. */
  async run(command: string, timeout = COMMAND_TIMEOUT): Promise<string> {
    const { status, output } = await this.attempt(command, timeout);
    if (status !== 0) throw new Error(`guest: ${command}: status ${status}\n${output}`);
    return output;
  }

  async attempt(command: string, timeout = COMMAND_TIMEOUT): Promise<{ status: number; output: string }> {
    this.#qemu.child.stdin?.write(`${command}\n`);
    const [text, status] = await this.#waitFor(/@@done (\d+)\r?\n/, timeout, command);
    return { status: Number(status), output: text.replaceAll('\r', '') };
  }

  /** Returns the text in front of the match, and its group. */
  async #waitFor(pattern: RegExp, timeout: number, what = 'boot'): Promise<[string, string]> {
    let match: RegExpExecArray | null = null;
    const looked = (): boolean => {
      match = pattern.exec(this.#qemu.output.slice(this.#seen));
      return match !== null || this.#qemu.child.exitCode !== null;
    };
    await until(looked, `the guest (${what}):\n${this.#qemu.output.slice(-2000)}`, timeout);
    if (match === null) throw new Error(`QEMU has ended:\n${this.#qemu.output}`);
    const { index, 0: whole, 1: group } = match as RegExpExecArray;
    const text = this.#qemu.output.slice(this.#seen, this.#seen + index);
    this.#seen += index + whole.length;
    return [text, group ?? ''];
  }

  async stop(): Promise<void> {
    await this.#qemu.kill();
  }
}
