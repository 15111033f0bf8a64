/** `guestwire`: for now, the way to the programs that the package brings. */
import { type Environment, gvproxy } from './gvproxy.ts';
import { version } from './version.ts';

const HELP = `guestwire: networking for virtual machines without root

  guestwire run [flags]    run a network; flags as gvproxy has them (guestwire run -help)
  guestwire --version      print the version
  guestwire --help         print this

Programs of the package: gvproxy (drop-in for gvisor-tap-vsock), guestwire.

  guestwire run -listen-qemu unix:///tmp/vm.sock
  qemu-system-x86_64 … -netdev stream,id=n0,addr.type=unix,addr.path=/tmp/vm.sock -device virtio-net-pci,netdev=n0,mac=5a:94:ef:e4:0c:ee
`;

/** Resolves with the exit status. */
export async function guestwire(environment: Environment): Promise<number> {
  const [command, ...rest] = environment.argv;
  if (command === 'run') return gvproxy({ ...environment, argv: rest, program: `${environment.program} run` });
  if (command === '--version' || command === '-version') {
    environment.stdout(`guestwire version ${version()}\n`);
    return 0;
  }
  if (command === '--help' || command === '-h' || command === '-help') {
    environment.stdout(HELP);
    return 0;
  }
  environment.stderr(command === undefined ? HELP : `guestwire: unknown command ${JSON.stringify(command)}; guestwire --help lists them\n`);
  return 2;
}
