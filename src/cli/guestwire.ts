/** `guestwire`: for now, the way to the programs that the package brings. */
import { ConfigError } from '../config/subnet.ts';
import { configure, loadFile } from './configuration.ts';
import { readFlags } from './flags.ts';
import { type Environment, gvproxy } from './gvproxy.ts';
import { GVPROXY_FLAGS } from './gvproxy-flags.ts';
import { descriptorSink, Log } from './log.ts';
import { banner } from './version.ts';

const TEXT = `guestwire: networking for virtual machines without root

  guestwire run [flags]    run a network; flags as gvproxy has them (guestwire run -help)
  guestwire config [flags] print the configuration file that does what these flags do (guestwire run -config FILE)
  guestwire version        print the version; also -v, -version, --version
  guestwire help           print this; also -h, -help, --help

Programs of the package: gvproxy, gvforwarder, qemu-wrapper, ssh-over-vsock (drop-ins for gvisor-tap-vsock's), guestwire.

  guestwire run -listen-qemu unix:///tmp/vm.sock
  qemu-system-x86_64 … -netdev stream,id=n0,server=off,addr.type=unix,addr.path=/tmp/vm.sock -device virtio-net-pci,netdev=n0,mac=5a:94:ef:e4:0c:ee
`;

const VERSION = ['version', '-v', '-version', '--version'];
const HELP = ['help', '-h', '-help', '--help'];

/** Resolves with the exit status. */
export async function guestwire(environment: Environment): Promise<number> {
  const [command, ...rest] = environment.argv;
  if (command === 'run') return gvproxy({ ...environment, argv: rest, program: `${environment.program} run` });
  if (command === 'config') return printConfig({ ...environment, argv: rest, program: `${environment.program} config` });
  if (command !== undefined && VERSION.includes(command)) {
    environment.stdout(`${banner(environment.name)}\n`);
    return 0;
  }
  if (command !== undefined && HELP.includes(command)) {
    environment.stdout(TEXT);
    return 0;
  }
  environment.stderr(command === undefined ? TEXT : `guestwire: unknown command ${JSON.stringify(command)}; guestwire help lists them\n`);
  return 2;
}

async function printConfig(environment: Environment): Promise<number> {
  const line = readFlags(environment, GVPROXY_FLAGS);
  if (typeof line === 'number') return line;
  const { flags } = line;
  const log = new Log(descriptorSink(2, environment.stderrIsTerminal));
  try {
    const loaded = await loadFile(flags, environment.argv);
    for (const warning of [...line.warnings, ...loaded.warnings]) log.warning(warning);
    const config = configure(flags, loaded, log);
    const { effectiveConfig } = await import('../config/effective-config.ts');
    environment.stdout(effectiveConfig(config));
    return 0;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    log.record('fatal', error.message);
    return 1;
  }
}
