// Adds programs of this machine, with the libraries they need, to the guest of build-image.mjs: what a machine with podman has.
// Usage: node scripts/guest/build-programs.mjs [FOLDER]; writes FOLDER/initramfs-programs.cpio unless it is there.
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, realpathSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = process.argv[2] ?? join(root, '.cache/guest');

/** Node runs the stand-ins for podman's API and for a DNS server. */
const PROGRAMS = ['/usr/sbin/sshd', '/usr/bin/curl', '/usr/bin/nslookup', process.execPath];
/** What sshd starts: for scp, and from OpenSSH 9.8 on for each connection. */
const PARTS = ['/usr/lib/openssh/sftp-server', '/usr/lib/openssh/sshd-session', '/usr/lib/openssh/sshd-auth'];

const ACCOUNTS = `root:x:0:0:root:/root:/bin/sh
sshd:x:100:65534::/run/sshd:/bin/false
core:x:1000:1000::/home/core:/bin/sh
`;

const SSHD = `HostKey /etc/ssh/host_key
AuthorizedKeysFile /etc/ssh/authorized_keys
StrictModes no
PasswordAuthentication no
UsePAM no
PermitRootLogin yes
Subsystem sftp /usr/lib/openssh/sftp-server
`;

/** The files a program is made of: itself, and what the loader would load. */
function closure(program) {
  const listing = execFileSync('ldd', [program], { encoding: 'utf8' });
  return [program, ...[...listing.matchAll(/(\/\S+) \(0x/g)].map(([, path]) => path)];
}

function copyTo(tree, path) {
  const target = join(tree, path);
  if (existsSync(target)) return;
  mkdirSync(dirname(target), { recursive: true });
  copyFileSync(realpathSync(path), target);
}

if (!existsSync(join(folder, 'initramfs-programs.cpio'))) {
  const work = `${folder}.programs.${process.pid}`;
  const tree = join(work, 'tree');
  mkdirSync(join(tree, 'etc/ssh'), { recursive: true });
  for (const program of [...PROGRAMS, ...PARTS.filter((path) => existsSync(path))]) for (const path of closure(program)) copyTo(tree, path);
  for (const path of ['run/sshd', 'root', 'home/core', 'run/podman', 'usr/bin']) mkdirSync(join(tree, path), { recursive: true });
  writeFileSync(join(tree, 'etc/passwd'), ACCOUNTS);
  writeFileSync(join(tree, 'etc/group'), 'root:x:0:\ncore:x:1000:\nnogroup:x:65534:\n');
  writeFileSync(join(tree, 'etc/nsswitch.conf'), 'passwd: files\ngroup: files\nhosts: files dns\n');
  writeFileSync(join(tree, 'etc/ssh/sshd_config'), SSHD);
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(tree, 'etc/ssh/host_key')]);
  writeFileSync(join(tree, 'etc/node'), process.execPath);
  execFileSync('sh', ['-c', `find . | cpio --quiet -o -H newc > ${join(work, 'programs.cpio')}`], { cwd: tree });
  // The kernel unpacks one archive after the other.
  writeFileSync(
    join(work, 'both.cpio'),
    Buffer.concat([readFileSync(join(folder, 'initramfs.cpio')), readFileSync(join(work, 'programs.cpio'))]),
  );
  renameSync(join(work, 'both.cpio'), join(folder, 'initramfs-programs.cpio'));
  rmSync(work, { recursive: true });
}
