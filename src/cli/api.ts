/** The HTTP API as the command line asks for it (contract §13.1); what it is made of is loaded when the network is there. */
import { existsSync, readFileSync } from 'node:fs';
import type { V1 } from '../api/server.ts';
import type { VirtualNetwork } from '../network.ts';
import { adviceForExisting } from './existing-path.ts';
import { fileErrorText, listenErrorText } from './go-errors.ts';
import { strayHost } from './listen-address.ts';
import type { Run } from './start.ts';
import { version } from './version.ts';

/** Rejects with what the log is to say. */
export async function serveHost({ network, config, log, atEnd }: Run, url: string, flag: 'listen' | 'services'): Promise<void> {
  log.info(flag === 'listen' ? `listening ${url}` : `enabling services API. Listening ${url}`);
  const stray = strayHost(url);
  if (stray !== undefined) log.warning(stray);
  const [{ serveApi }, { listenUrls }] = await Promise.all([import('../api/serve.ts'), import('../api/listen.ts')]);
  try {
    const services = flag === 'services';
    const debug = config.logLevel === 'debug';
    const failed = (text: string): void => log.error(text);
    for (const place of listenUrls(url)) {
      // What else a socket may be that this process was started with is a way in for VMs too.
      const v1 = lazyV1(network, failed, /^(unix|tcp):/i.test(place));
      const listener = await serveApi({ url: place, network, forwards: network.forwards, services, debug, failed, v1 });
      atEnd(() => listener.close());
      // What the URL leaves open: the port that the host has chosen, this machine's CID.
      if (/:0?$|^vsock:|^systemd:/i.test(url)) log.info(`listening on ${listener.address}`);
    }
  } catch (error) {
    throw new Error(`cannot listen: ${listenErrorText(error)}${advice(error)}`, { cause: error });
  }
}

/** For the commands of `guestwire`: as -services, without a word in the log. Rejects with what the log is to say. */
export async function serveControl({ network, log, atEnd }: Pick<Run, 'network' | 'log' | 'atEnd'>, url: string): Promise<void> {
  const { serveApi } = await import('../api/serve.ts');
  const failed = (text: string): void => log.error(text);
  try {
    const listener = await serveApi({
      url,
      network,
      forwards: network.forwards,
      services: true,
      failed,
      v1: lazyV1(network, failed, true),
    });
    atEnd(() => listener.close());
    log.debug(`control socket: ${listener.address}`);
  } catch (error) {
    throw new Error(`cannot listen: ${listenErrorText(error)}`, { cause: error });
  }
}

/** What to do about a file that stands where the socket should be. */
function advice(error: unknown): string {
  const { code, address, port } = error as { code?: string; address?: string; port?: number };
  if (code !== 'EADDRINUSE' || address === undefined || port !== undefined || !existsSync(address)) return '';
  return ` (${adviceForExisting(address)})`;
}

/** Its libraries take longer to load than all the rest, and most never ask for it. */
function lazyV1(network: VirtualNetwork, failed: (text: string) => void, captures: boolean): V1 {
  let loaded: Promise<V1> | undefined;
  const load = async (): Promise<V1> => {
    const { createV1 } = await import('../api/v1/v1.ts');
    return createV1(network, network.forwards, { version: version(), failed, captures });
  };
  return {
    handle: (request, response, lift) => {
      loaded ??= load();
      loaded.then(
        (v1) => v1.handle(request, response, lift),
        (error: unknown) => {
          failed(`cannot load the API below /v1/: ${(error as Error).message}`);
          response.writeHead(500).end();
        },
      );
    },
  };
}

/** Port 80 of the gateway. Throws with what the log is to say. */
export async function serveGuestsOn({ network, config, log, atEnd }: Run): Promise<void> {
  const { guestApi } = config;
  if (guestApi === 'off') return;
  const { serveGuests } = await import('../api/serve.ts');
  const apiToken = readToken(config.apiTokenFile);
  const failed = (text: string): void => log.error(text);
  const listener = serveGuests({ network, forwards: network.forwards, guestApi, failed, ...(apiToken !== undefined && { apiToken }) });
  if (listener !== null) atEnd(() => listener.close());
}

/** Contract §19, #724: of the file, else of the environment. */
function readToken(path: string): string | undefined {
  let text = process.env['GVISOR_API_TOKEN'] ?? '';
  try {
    if (path !== '') text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new Error(`cannot read the API token: ${fileErrorText(error)} (flag -api-token-file)`, { cause: error });
  }
  return text.trim() === '' && path === '' ? undefined : text.trim();
}
