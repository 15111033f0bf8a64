/**
 * User Mode Linux on this machine's own root file system, read-only: its programs are the guest's. What they write goes to memory.
 * It runs in a process namespace of its own, so that none of its many processes outlives it.
 */
import { chmodSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { GuestConsole } from './guest-console.ts';
import { Running, temporaryFolder } from './process.ts';

/** Bytes of the guest's memory, which is a file. */
const MEMORY = 256 * 2 ** 20;

const INIT = `#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
resolv=$(readlink -m /etc/resolv.conf)
[ -e "$resolv" ] || { mkdir -p "$(dirname "$resolv")" && : > "$resolv"; }
: > /run/guest-resolv.conf
mount --bind /run/guest-resolv.conf "$resolv"
mkdir /run/www
# What udhcpc calls: keeps the lease for the test to read, and configures the interface.
cat > /run/lease-script << 'END'
#!/bin/sh
[ "$1" = bound ] || [ "$1" = renew ] || exit 0
env > /run/lease
ip addr flush dev $interface
ip addr add $ip/$mask dev $interface
[ -n "$mtu" ] && ip link set dev $interface mtu $mtu
ip route replace default via $router
echo "nameserver $dns" > /etc/resolv.conf
END
chmod 755 /run/lease-script
ip link set lo up
stty raw -echo
echo @@ready
while read -r line; do
  eval "$line"
  echo "@@done $?"
done
`;

export class UmlGuest extends GuestConsole {
  /** Boots with the network device that `device` describes, as it stands on the kernel's command line. */
  static async boot(device: string): Promise<UmlGuest> {
    const folder = temporaryFolder();
    const init = join(folder, 'init');
    writeFileSync(init, INIT);
    chmodSync(init, 0o755);
    const shared = statfsSync('/dev/shm');
    const memoryFolder = shared.bavail * shared.bsize > 2 * MEMORY ? '/dev/shm' : folder;
    const guest = new UmlGuest(
      new Running('env', [
        ...[`TMPDIR=${memoryFolder}`, 'unshare', '--pid', '--fork', '--kill-child'],
        ...['linux.uml', device, 'root=/dev/root', 'rootfstype=hostfs', 'rootflags=/', 'ro', `init=${init}`, `mem=${MEMORY / 2 ** 20}M`],
        ...[`uml_dir=${folder}`, 'con=null', 'con0=fd:0,fd:1', 'ssl=null', 'quiet'],
      ]),
    );
    await guest.ready();
    return guest;
  }
}
