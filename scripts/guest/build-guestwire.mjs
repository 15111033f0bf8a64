// Writes an image for QEMU that has guestwire itself: build-programs.mjs's, the kernel's modules for vsock and TAP in /modules, and
// in /guestwire the programs with their dependencies, and what the tests run there.
// Usage: node scripts/guest/build-guestwire.mjs OUTPUT [FOLDER]; FOLDER is that of the other two, which are run.
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const [, , output, folder = join(root, '.cache/guest')] = process.argv;

/** The soft guest's, which tests run from `build`; the programs have them in their bundle. */
const PACKAGES = ['node_modules/dns-packet', 'node_modules/@leichtgewicht/ip-codec'];
const MODULES = ['vsock', 'vmw_vsock_virtio_transport_common', 'vsock_loopback', 'tun'];

/** Unpacked once: it takes seconds. */
function copyModules(tree) {
  const unpacked = join(folder, 'modules-vsock');
  if (!existsSync(unpacked)) {
    const part = `${unpacked}.${process.pid}`;
    mkdirSync(part);
    const deb = readdirSync(folder).find((file) => file.endsWith('.deb'));
    const patterns = MODULES.map((name) => `*/${name}.ko`);
    const unpack = 'deb="$0"; to="$1"; shift; dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$to" --wildcards --transform "s|.*/||" "$@"';
    // What the tests name is there, or tar fails.
    execFileSync('bash', ['-o', 'pipefail', '-c', unpack, join(folder, deb), part, ...patterns]);
    renameSync(part, unpacked);
  }
  cpSync(unpacked, join(tree, 'modules'), { recursive: true });
}

/** With what the programs depend on, but the library for another libc. */
function copyPrograms(tree) {
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  const needed = Object.entries(packages).filter(([path, { dev }]) => path !== '' && dev !== true && existsSync(join(root, path)));
  const parts = [
    'package.json',
    'bin',
    'dist',
    'build/src',
    'build/test/guest',
    'build/test/system',
    ...PACKAGES,
    ...needed.map(([path]) => path),
  ];
  const wanted = (path) => !/\/musl_|\.map$|\.d\.[mc]?ts$/.test(path);
  for (const part of parts) cpSync(join(root, part), join(tree, 'guestwire', part), { recursive: true, filter: wanted });
}

for (const name of ['build-image', 'build-programs']) {
  execFileSync(process.execPath, [join(root, `scripts/guest/${name}.mjs`), folder], { stdio: 'inherit' });
}
const tree = mkdtempSync(join(tmpdir(), 'guestwire-image-'));
try {
  copyModules(tree);
  copyPrograms(tree);
  const archive = `${output}.part`;
  execFileSync('sh', ['-c', 'find . | cpio --quiet -o -H newc > "$0"', archive], { cwd: tree });
  // The kernel unpacks one archive after the other.
  execFileSync('sh', ['-c', 'cat "$0" "$1" > "$2"', join(folder, 'initramfs-programs.cpio'), archive, output]);
  rmSync(archive);
} finally {
  rmSync(tree, { recursive: true });
}
