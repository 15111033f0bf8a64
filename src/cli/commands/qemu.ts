/** `guestwire qemu`: a network of its own for one QEMU, which it starts, and ends with. */
import { spawn, type StdioOptions } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { DEFAULT_MTU, DEVICE_MAC, isMtu, MTU_MAXIMUM, MTU_MINIMUM } from '../../config/defaults.ts';
import { ConfigError } from '../../config/subnet.ts';
import type { NetworkOptions } from '../../network-options.ts';
import { VirtualNetwork } from '../../network.ts';
import { parseMac } from '../../packet/mac.ts';
import { SystemError } from '../../system/error.ts';
import { close } from '../../system/syscalls.ts';
import { connectUnix } from '../../system/unix-stream.ts';
import { serveControl } from '../api.ts';
import { compileSooner } from '../compiler.ts';
import { fileErrorText, listenErrorText } from '../go-errors.ts';
import { descriptorSink, Log } from '../log.ts';
import { type Call, CommandError, type OptionValues, usageError } from './command.ts';
import { claimControlSocket } from './control-socket.ts';
import { parseForward, requestOf, type WantedForward } from './forward-words.ts';
import { qemuArguments, SOCKET_MARK } from './qemu-arguments.ts';
import { askVersion, QEMU } from './qemu-program.ts';

/** Passed on: whoever ends this command means the VM. SIGINT comes to both from a terminal. */
const SIGNALS = ['SIGTERM', 'SIGHUP'] as const;

interface Wanted {
  readonly program: string;
  readonly args: readonly string[];
  readonly mtu: number;
  readonly mac: string;
  readonly device: string;
  readonly forwards: readonly WantedForward[];
  readonly versions: Pick<NetworkOptions, 'ipv4' | 'ipv6' | 'subnet6'>;
}

/** Resolves with QEMU's status. */
export async function qemu(call: Call): Promise<number> {
  const { environment, options } = call;
  const wanted = readWanted(call);
  const version = await askVersion(wanted.program);
  const name = options.text('name');
  const control = name === undefined ? undefined : await claimControlSocket(name, environment.variables);
  const folder = makeFolder();
  const atEnd: (() => void | Promise<void>)[] = [(): void => rmSync(folder, { recursive: true, force: true })];
  try {
    const network = await createNetwork(wanted, options.text('pcap'));
    compileSooner();
    atEnd.push(() => network.close());
    if (control !== undefined) {
      const log = new Log(descriptorSink(2, environment.stderrIsTerminal));
      await serveControl({ network, log, atEnd: (close_) => void atEnd.push(close_) }, control);
    }
    await addForwards(network, wanted.forwards);
    const socket = join(folder, 'vm.sock');
    await network.listenQemu(`unix://${socket}`);
    const { args, inherits, own } = qemuArguments(wanted.args, { ...wanted, socket, version });
    if (own !== undefined && !wanted.args.some((word) => word.includes(SOCKET_MARK)))
      environment.stderr(`${environment.program}: ${ownText(own)}\n`);
    return await runQemu(wanted.program, args, inherits ? socket : undefined);
  } finally {
    for (let end = atEnd.pop(); end !== undefined; end = atEnd.pop()) await end();
  }
}

/** For the socket that QEMU comes to. */
function makeFolder(): string {
  try {
    return mkdtempSync(join(tmpdir(), 'guestwire-qemu-'));
  } catch (error) {
    throw new CommandError(`cannot make a folder for the socket: ${fileErrorText(error)} (TMPDIR says where it is to be)`);
  }
}

function ownText(own: string): string {
  return (
    `the arguments have ${own} of their own, so no network card is added. Where they say ${SOCKET_MARK} QEMU gets the path of ` +
    `this network's socket, as in -netdev stream,id=n0,server=off,addr.type=unix,addr.path=${SOCKET_MARK}`
  );
}

function readWanted({ options, words }: Call): Wanted {
  const [first = ''] = words;
  // The program's name may stand in front, as on the line that is replaced.
  const isNamed = /^qemu-(system-\w+|kvm)$/.test(basename(first));
  const program = options.text('qemu') ?? (isNamed ? first : QEMU);
  const mtu = Number(options.text('mtu') ?? DEFAULT_MTU);
  if (!isMtu(mtu)) throw usageError(`${JSON.stringify(options.text('mtu'))} is no MTU: want ${MTU_MINIMUM} to ${MTU_MAXIMUM}`);
  const mac = options.text('mac') ?? DEVICE_MAC;
  const parsed = parseMac(mac);
  if (parsed === undefined || (Number.parseInt(mac.slice(0, 2), 16) & 1) === 1) {
    throw usageError(`${JSON.stringify(mac)} is no MAC address of a network card: want one such as ${DEVICE_MAC}`);
  }
  const args = isNamed ? words.slice(1) : words;
  return {
    program,
    args,
    mtu,
    mac,
    device: options.text('device') ?? 'virtio-net-pci',
    forwards: options.list('forward').map(parseForward),
    versions: readVersions(options),
  };
}

/** As gvproxy's flags of these names. */
function readVersions(options: OptionValues): Wanted['versions'] {
  const [ipv4 = 'true', subnet6] = [options.text('ipv4'), options.text('subnet6')];
  if (ipv4 !== 'true' && ipv4 !== 'false') throw usageError(`--ipv4 can't be ${JSON.stringify(ipv4)}: want true or false`);
  return {
    ...(ipv4 === 'false' && { ipv4: false }),
    ...(options.flag('ipv6') && { ipv6: true }),
    ...(subnet6 !== undefined && { subnet6 }),
  };
}

/** The forwards lead to a VM that has this MAC address, whatever it is. */
async function createNetwork({ mtu, mac, versions }: Wanted, captureFile: string | undefined): Promise<VirtualNetwork> {
  try {
    return await VirtualNetwork.create({
      mtu,
      ...versions,
      dhcpStaticLeases: { '192.168.127.2': mac },
      ...(captureFile !== undefined && { captureFile }),
    });
  } catch (error) {
    if (error instanceof ConfigError || error instanceof SystemError) throw new CommandError(error.message);
    if ((error as NodeJS.ErrnoException).path !== undefined) throw new CommandError(fileErrorText(error));
    throw error;
  }
}

async function addForwards(network: VirtualNetwork, wanted: readonly WantedForward[]): Promise<void> {
  if (wanted.length === 0) return;
  const { expandRanges } = await import('../../api/v1/port-ranges.ts');
  const requests = wanted.map((each) => requestOf(each, network.addresses));
  try {
    await network.forwards.exposeAll(expandRanges(requests));
  } catch (error) {
    throw new CommandError(`cannot forward: ${listenErrorText((error as Error).cause ?? error)}`);
  }
}

/** `inherited`: path of a socket to which QEMU gets a connection as descriptor 3. */
function runQemu(program: string, args: readonly string[], inherited: string | undefined): Promise<number> {
  const stdio: StdioOptions = ['inherit', 'inherit', 'inherit'];
  const connection = inherited === undefined ? undefined : connectUnix(inherited, true);
  if (connection !== undefined) stdio.push(connection);
  // Heard before there is a QEMU that could outlive a signal; acted upon in a later turn, when there is.
  for (const signal of SIGNALS) process.on(signal, () => void child.kill(signal));
  process.on('SIGINT', () => {
    if (!process.stdin.isTTY) child.kill('SIGINT');
  });
  const child = spawn(program, args, { stdio });
  if (connection !== undefined) close(connection);
  return new Promise((resolve, reject) => {
    child.on('error', (error) => reject(new CommandError(`${program}: ${error.message}`)));
    // As a shell tells of a program that a signal has ended.
    child.on('exit', (status, signal) => resolve(status ?? 128 + constants.signals[signal!]));
  });
}
