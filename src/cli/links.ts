/** The links of the command line and the configuration file: opened in the original's order, logged, and the end that comes with their VMs (contract §4.1, §6.8). */
import { type Interface, INTERFACES } from '../config/gvproxy-config.ts';
import { interfaceLink } from '../config/link-url.ts';
import type { LinkEvents } from '../network.ts';
import type { Port } from '../link/port.ts';
import { ClientLog } from './client-log.ts';
import { listenErrorText } from './go-errors.ts';
import { strayHost } from './listen-address.ts';
import type { Run } from './start.ts';

/** Who attaches. */
const CLIENTS = { qemu: 'QEMU', vpnkit: 'VPNKit clients', bess: 'User Mode Linux', vfkit: 'vfkit' } as const;

/** Rejects with what the log is to say. */
export async function startLinks(run: Run): Promise<void> {
  const { config, log, program } = run;
  const clients = new ClientLog(log);
  logOthers(run, clients);
  const wanted = INTERFACES.filter((kind) => config.interfaces[kind] !== '');
  // The original waits without a word.
  if (wanted.length === 0 && config.links.length === 0 && config.listen.length === 0)
    log.warning(`no VM can attach without -listen-qemu, -link or -listen (${program} -help lists the flags)`);
  const end = new EndOfLinks(run, clients);
  for (const kind of wanted) await openInterface(run, kind, end);
  for (const url of config.links) await openLink(run, url, end);
}

/** What is no link's own: VMs that came in through `/connect`, and those that clash. */
function logOthers({ network, log }: Run, clients: ClientLog): void {
  network.on('connected', (port, link) => {
    if (link === 'socket') clients.record('debug', `new connection from ${peerOf(port)}`);
  });
  network.on('disconnected', (port, reason, link) => {
    if (link === 'socket') clients.record('error', goneText(port, reason));
  });
  network.on('stationMoved', (mac, from, to) => log.warning(twice(mac, from, to)));
  network.on('stationRefused', (mac, holder, port) => log.warning(`${twice(mac, holder, port)}; port ${port.id} is not heard`));
}

function twice(mac: string, one: Port, other: Port): string {
  return `two VMs send from ${mac} (ports ${one.id} and ${other.id}): each needs a MAC address of its own`;
}

async function openInterface({ network, config, log, notifications }: Run, kind: Interface, end: EndOfLinks): Promise<void> {
  const url = kind === 'stdio' ? 'stdio:' : config.interfaces[kind];
  const stray = strayHost(url);
  if (stray !== undefined) log.warning(stray);
  try {
    const { address } = await network.attach(interfaceLink(kind, url), end.events(url, kind !== 'vpnkit'));
    log.info(kind === 'stdio' ? 'frames are on standard input and output' : `listening for ${CLIENTS[kind]} on ${address}`);
  } catch (error) {
    notifications.send('hypervisor_error');
    throw new Error(`${kind} listen error: ${listenErrorText(error)}`, { cause: error });
  }
}

async function openLink({ network, log, notifications }: Run, url: string, end: EndOfLinks): Promise<void> {
  try {
    const { address } = await network.attach(url, end.events(url, false));
    log.info(`link ${url} is open${url.includes(address) ? '' : ` on ${address}`}`);
  } catch (error) {
    notifications.send('hypervisor_error');
    throw new Error(`cannot open link ${url}: ${listenErrorText(error)}`, { cause: error });
  }
}

/**
 * Callers rely on the program to go when its VM goes (contract §6.8): it ends with the last VM that came in through the flags of the
 * original, and when no link is left through which another could come.
 */
class EndOfLinks {
  readonly #run: Run;
  readonly #clients: ClientLog;
  #vms = 0;
  #links = 0;
  #over = false;

  constructor(run: Run, clients: ClientLog) {
    this.#run = run;
    this.#clients = clients;
    run.atEnd(() => {
      this.#over = true;
    });
  }

  /** For the link `url`. `ending`: the program ends with the last of its VMs. */
  events(url: string, ending: boolean): Partial<LinkEvents> {
    const { config, notifications, end } = this.#run;
    const clients = this.#clients;
    this.#links++;
    let last = 'every link is closed';
    return {
      connected: (port) => {
        if (ending) this.#vms++;
        clients.record('debug', `new connection from ${peerOf(port)} to ${url}`);
      },
      disconnected: (port, reason) => {
        last = goneText(port, reason);
        // The end of what has no connection is ours, and no error.
        clients.record(this.#over && reason === 'link closed' ? 'debug' : 'error', last);
        // Contract §4.6: what a hypervisor wrote to us until now has ended.
        if (url.startsWith('stdio:') && !this.#over) notifications.send('hypervisor_error');
        if (ending && --this.#vms === 0) end({ reason: last, failed: false });
      },
      refused: (reason) => clients.record('error', reason),
      closed: () => {
        if (--this.#links === 0 && config.listen.length === 0) end({ reason: last, failed: false });
      },
    };
  }
}

/** As Go prints the address of a unix socket without a name; the number that listings have is ours. */
function peerOf({ name }: Port): string {
  return /^@\d+$/.test(name) ? '@' : name;
}

function goneText(port: Port, reason: string): string {
  return `cannot receive packets from ${peerOf(port)}, disconnecting: ${reason}`;
}
