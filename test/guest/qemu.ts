/** A Linux guest in QEMU (software emulation), driven by commands on its second serial line. */
import { join } from 'node:path';
import { GuestConsole } from './guest-console.ts';
import { ROOT, Running, succeed } from './process.ts';

const FOLDER = join(ROOT, '.cache/guest');

export interface BootOptions {
  /** sshd, curl, nslookup and Node are there as well (scripts/guest/build-programs.mjs). */
  readonly programs?: boolean;
  /** Boots this image, made of the one with programs, instead. */
  readonly image?: string;
  /** A program and its first arguments that starts QEMU, whose command line follows them. */
  readonly startedBy?: readonly string[];
}

export class QemuGuest extends GuestConsole {
  /** Downloads the kernel and builds the image where they aren't there yet. */
  static async prepare(): Promise<void> {
    await succeed(process.execPath, [join(ROOT, 'scripts/guest/build-image.mjs'), FOLDER], 120_000);
  }

  /** Boots with one network card on `netdev` (the option's value, with id n0); undefined: `startedBy` adds one. */
  static async boot(
    netdev: string | undefined,
    mac: string,
    { programs = false, image, startedBy = [] }: BootOptions = {},
  ): Promise<QemuGuest> {
    await QemuGuest.prepare();
    if (programs) await succeed(process.execPath, [join(ROOT, 'scripts/guest/build-programs.mjs'), FOLDER], 120_000);
    const [standard, memory] = programs ? ['initramfs-programs.cpio', '900'] : ['initramfs.cpio', '256'];
    const [command, ...args] = [
      ...startedBy,
      'qemu-system-x86_64',
      ...['-machine', 'q35,accel=tcg', '-cpu', 'max', '-m', memory, '-smp', '1', '-nodefaults', '-no-reboot', '-display', 'none'],
      ...['-kernel', join(FOLDER, 'vmlinuz'), '-initrd', image ?? join(FOLDER, standard)],
      ...['-append', 'console=ttyS0 quiet panic=-1 tsc=unstable'],
      ...['-serial', 'null', '-serial', 'stdio'],
      ...(netdev === undefined ? [] : ['-netdev', netdev, '-device', `virtio-net-pci,netdev=n0,mac=${mac},romfile=`]),
    ];
    const guest = new QemuGuest(new Running(command!, args));
    await guest.ready();
    return guest;
  }
}
