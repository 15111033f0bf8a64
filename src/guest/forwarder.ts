/**
 * One run of gvforwarder (contract §15.1): a stream to gvproxy, a TAP device, frames between them, an address by DHCP; until
 * something fails or ends. Whoever calls it tries again.
 */
import { closeSync } from 'node:fs';
import type { Mac } from '../packet/mac.ts';
import { VNET_FRAMING, VPNKIT_FRAMING } from '../link/framing.ts';
import type { Arena } from '../runtime/arena.ts';
import type { TurnLoop } from '../runtime/turn-loop.ts';
import { close } from '../system/syscalls.ts';
import { openTap } from '../system/tap-device.ts';
import { ConfiguredInterface } from './configured-interface.ts';
import type { DhcpClient } from './dhcp-client.ts';
import { findDhcpProgram, runDhcpProgram } from './dhcp-program.ts';
import { startOwnDhcp } from './own-dhcp.ts';
import { openStream, type Stream, takesVnetHeader } from './stream.ts';
import type { StreamUrl } from './stream-url.ts';
import { TapWire } from './tap-wire.ts';

export const OFFLOADS = ['auto', 'on', 'off'] as const;
export const DHCP_CLIENTS = ['auto', 'udhcpc', 'dhclient', 'own', 'off'] as const;

export interface ForwarderOptions {
  readonly url: StreamUrl;
  /** Name of the interface. */
  readonly name: string;
  /** Undefined: as it is. */
  readonly mac: Mac | undefined;
  /** Somebody else looks after the interface: nothing of it is changed. */
  readonly preexisting: boolean;
  readonly offload: (typeof OFFLOADS)[number];
  readonly dhcp: (typeof DHCP_CLIENTS)[number];
  /** The file for name servers; empty for none. */
  readonly resolver: string;
}

export interface ForwarderEnvironment {
  readonly loop: TurnLoop;
  readonly arena: Arena;
  readonly debug: (text: string) => void;
  readonly info: (text: string) => void;
  readonly warning: (text: string) => void;
}

/** Resolves with why it has ended, for the log; what it made is gone by then. Rejects with the signal's reason only. */
export async function forward(options: ForwarderOptions, environment: ForwarderEnvironment, signal: AbortSignal): Promise<string> {
  const run = new Run(options, environment, signal);
  try {
    return await run.run();
  } catch (error) {
    signal.throwIfAborted();
    return (error as Error).message;
  } finally {
    run.close();
  }
}

class Run {
  readonly #options: ForwarderOptions;
  readonly #environment: ForwarderEnvironment;
  readonly #signal: AbortSignal;
  /** What is to be closed, the last first. */
  readonly #open: (() => void)[] = [];
  #wireHasStream = false;
  #dhcp: DhcpClient | null = null;
  readonly #ended: Promise<string>;
  #end!: (reason: string) => void;

  constructor(options: ForwarderOptions, environment: ForwarderEnvironment, signal: AbortSignal) {
    this.#options = options;
    this.#environment = environment;
    this.#signal = signal;
    this.#ended = new Promise((resolve) => (this.#end = resolve));
  }

  async run(): Promise<string> {
    const { name, preexisting } = this.#options;
    const vnetHeader = await this.#choose();
    const stream = await this.#connect(vnetHeader);
    const tap = attempt('cannot create tap device', () => openTap(name, vnetHeader));
    this.#open.push(() => closeSync(tap.fd));
    const device = preexisting ? undefined : this.#prepare(tap.name);
    const wire = this.#join(tap.fd, stream, vnetHeader);
    this.#environment.info(`${tap.name} is joined to the host${vnetHeader ? ', with offload' : ''}`);
    if (device !== undefined) this.#configure(device, tap.name, wire);
    const aborted = (): void => this.#end('');
    this.#signal.addEventListener('abort', aborted, { once: true });
    const reason = await this.#ended;
    this.#signal.removeEventListener('abort', aborted);
    this.#signal.throwIfAborted();
    return reason;
  }

  async #choose(): Promise<boolean> {
    const { offload, url } = this.#options;
    if (offload === 'off') return false;
    const takes = await takesVnetHeader(url, this.#signal);
    this.#signal.throwIfAborted();
    if (!takes && offload === 'on')
      throw new Error('cannot connect to host: no server that takes virtio-net headers answers (-offload on)');
    return takes;
  }

  async #connect(vnetHeader: boolean): Promise<Stream> {
    let stream: Stream;
    try {
      stream = await openStream(this.#options.url, vnetHeader, this.#signal);
    } catch (error) {
      throw new Error(`cannot connect to host: ${(error as Error).message}`, { cause: error });
    }
    this.#open.push(() => this.#part(stream));
    this.#signal.throwIfAborted();
    return stream;
  }

  #part(stream: Stream): void {
    if (!this.#wireHasStream) close(stream.fd);
    stream.end();
  }

  #prepare(name: string): ConfiguredInterface {
    const { mac, resolver } = this.#options;
    const device = attempt('cannot open interface', () => new ConfiguredInterface(name, resolver));
    this.#open.push(() => device.close());
    if (mac !== undefined) attempt('cannot set mac address', () => (device.mac = mac));
    attempt('cannot bring the interface up', () => device.up());
    return device;
  }

  #join(tap: number, stream: Stream, vnetHeader: boolean): TapWire {
    const { loop, arena } = this.#environment;
    this.#wireHasStream = true;
    const wire = new TapWire(tap, stream.fd, vnetHeader ? VNET_FRAMING : VPNKIT_FRAMING, loop, arena, {
      ended: (reason) => this.#end(reason),
      intercept: (bytes, at, length) => this.#dhcp !== null && this.#dhcp.take(bytes, at, length),
    });
    this.#open.push(() => {
      wire.close('the run has ended');
      const { framesToStream, framesToTap, dropped } = wire.counters;
      this.#environment.debug(`${framesToStream} frames to the host, ${framesToTap} from it, ${dropped} dropped`);
    });
    return wire;
  }

  #configure(device: ConfiguredInterface, name: string, wire: TapWire): void {
    const { dhcp } = this.#options;
    const program = dhcp === 'auto' ? findDhcpProgram(process.env['PATH'] ?? '') : dhcp;
    if (program === 'off') return;
    if (program === 'udhcpc' || program === 'dhclient') {
      this.#open.push(runDhcpProgram(program, name, (reason) => this.#end(`dhcp error: ${reason}`)));
      return;
    }
    const client = startOwnDhcp(
      device,
      name,
      (frame) => wire.send(frame),
      this.#environment,
      (reason) => this.#end(`dhcp error: ${reason}`),
    );
    this.#dhcp = client;
    this.#open.push(() => client.close());
  }

  close(): void {
    for (let end = this.#open.pop(); end !== undefined; end = this.#open.pop()) end();
  }
}

/** `text: reason` when it fails. */
function attempt<T>(text: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw new Error(`${text}: ${(error as Error).message}`, { cause: error });
  }
}
