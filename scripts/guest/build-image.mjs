// Builds the guest that tests boot in QEMU: Debian's cloud kernel and a busybox initramfs whose init takes commands on the second serial line.
// Usage: node scripts/guest/build-image.mjs [FOLDER]; the default folder is .cache/guest. Prints nothing and does nothing when it is there.
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = process.argv[2] ?? join(root, '.cache/guest');
const MODULES = ['virtio_pci', 'virtio_net'];

const INIT = `#!/bin/sh
/bin/busybox --install -s /bin
mkdir -p /proc /sys /dev /tmp /etc /www
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
echo 3 > /proc/sys/kernel/printk
for module in $(cat /modules/order); do insmod /modules/$module; done
ip link set lo up
ip link set eth0 up
stty -F /dev/ttyS1 raw -echo
exec < /dev/ttyS1 > /dev/ttyS1 2>&1
echo @@ready
while read -r line; do
  eval "$line"
  echo "@@done $?"
done
poweroff -f
`;

/** What udhcpc calls: keeps the lease for the test to read and configures the interface. */
const LEASE_SCRIPT = `#!/bin/sh
[ "$1" = bound ] || [ "$1" = renew ] || exit 0
env > /tmp/lease
ip addr flush dev $interface
ip addr add $ip/$mask dev $interface
[ -n "$mtu" ] && ip link set dev $interface mtu $mtu
ip route replace default via $router
echo "nameserver $dns" > /etc/resolv.conf
`;

function unpackKernel(work) {
  const depends = execFileSync('apt-cache', ['depends', 'linux-image-cloud-amd64'], { encoding: 'utf8' });
  const [, name] = /Depends: (linux-image-\S+)/.exec(depends) ?? [];
  if (name === undefined) throw new Error('apt-cache knows no linux-image-cloud-amd64: run apt-get update first');
  execFileSync('apt-get', ['download', name], { cwd: work, stdio: ['ignore', 'ignore', 'inherit'] });
  const deb = readdirSync(work).find((file) => file.endsWith('.deb'));
  execFileSync('dpkg-deb', ['-x', deb, 'kernel'], { cwd: work });
  return name.replace('linux-image-', '');
}

/** Module files in the order in which they must be loaded. */
function loadOrder(modules) {
  const dependencies = new Map(
    readFileSync(join(modules, 'modules.dep'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => {
        const [file, rest] = line.split(':');
        return [file, rest.trim().split(' ').filter(Boolean)];
      }),
  );
  const order = [];
  for (const name of MODULES) {
    const file = [...dependencies.keys()].find((path) => basename(path).replace(/\.ko.*/, '') === name);
    // Absent: built into the kernel.
    if (file === undefined) continue;
    for (const path of [...dependencies.get(file).toReversed(), file]) if (!order.includes(path)) order.push(path);
  }
  return order;
}

function buildInitramfs(work, version) {
  const tree = join(work, 'initramfs');
  const modules = join(work, 'kernel/lib/modules', version);
  execFileSync('depmod', ['-b', join(work, 'kernel'), version]);
  for (const path of ['bin', 'modules', 'etc']) mkdirSync(join(tree, path), { recursive: true });
  copyFileSync('/bin/busybox', join(tree, 'bin/busybox'));
  symlinkSync('busybox', join(tree, 'bin/sh'));
  const order = loadOrder(modules);
  for (const path of order) copyFileSync(join(modules, path), join(tree, 'modules', basename(path)));
  writeFileSync(join(tree, 'modules/order'), order.map((path) => basename(path)).join('\n'));
  writeFileSync(join(tree, 'init'), INIT);
  writeFileSync(join(tree, 'etc/lease'), LEASE_SCRIPT);
  chmodSync(join(tree, 'init'), 0o755);
  chmodSync(join(tree, 'etc/lease'), 0o755);
  execFileSync('sh', ['-c', `find . | cpio --quiet -o -H newc > ${join(work, 'initramfs.cpio')}`], { cwd: tree });
}

if (!existsSync(join(folder, 'initramfs.cpio'))) {
  const work = `${folder}.${process.pid}`;
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  const version = unpackKernel(work);
  buildInitramfs(work, version);
  copyFileSync(join(work, 'kernel/boot', `vmlinuz-${version}`), join(work, 'vmlinuz'));
  for (const path of ['kernel', 'initramfs']) rmSync(join(work, path), { recursive: true });
  rmSync(folder, { recursive: true, force: true });
  renameSync(work, folder);
}
