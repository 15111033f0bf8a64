/** What gvproxy opens once the network is there, in the original's order (contract §4.1, steps 7 to 13). */
import type { GvproxyConfig } from '../config/gvproxy-config.ts';
import type { VirtualNetwork } from '../network.ts';
import { serveControl, serveGuestsOn, serveHost } from './api.ts';
import { startLinks } from './links.ts';
import type { Log } from './log.ts';
import type { NotificationSender } from './notification-sender.ts';
import { sshTunnels, startSshForwards } from './ssh-forwards.ts';

/** Milliseconds between the byte counts that `-debug` logs. */
const COUNT_INTERVAL = 5000;

/** Why the program ends. */
export interface Ending {
  readonly reason: string;
  readonly failed: boolean;
  readonly signal?: NodeJS.Signals;
}

export interface Run {
  readonly network: VirtualNetwork;
  readonly config: GvproxyConfig;
  readonly log: Log;
  readonly notifications: NotificationSender;
  /** As the usage names it. */
  readonly program: string;
  /** URL that the commands of `guestwire` ask; undefined for gvproxy. */
  readonly control: string | undefined;
  /** Ends the program; the first reason counts. */
  readonly end: (ending: Ending) => void;
  /** What is to be done before the network closes, last in first out. Called at once when the end has come. */
  readonly atEnd: (close: () => void | Promise<void>) => void;
}

/** Resolves when everything listens. Rejects with what the log is to say. */
export async function start(run: Run): Promise<void> {
  const { config, control, network, notifications } = run;
  network.on('captureEnded', (error) => run.log.error(`the capture has ended, the network goes on: ${error.message}`));
  network.forwards.openSshTunnel = sshTunnels(run);
  if (control !== undefined) await serveControl(run, control);
  for (const url of config.listen) await serveHost(run, url, 'listen');
  notifications.send('ready');
  if (config.services !== '') await serveHost(run, config.services, 'services');
  await serveGuestsOn(run);
  countBytes(run);
  await startLinks(run);
  await startSshForwards(run);
}

function countBytes({ network, log, atEnd }: Run): void {
  if (log.level !== 'debug') return;
  const timer = setInterval(() => {
    log.debug(`${humanBytes(network.bytesSent)} sent to the VM, ${humanBytes(network.bytesReceived)} received from the VM`);
  }, COUNT_INTERVAL);
  atEnd(() => clearInterval(timer));
}

/** Decimal units, as the original counts. */
function humanBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 || value >= 10 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}
