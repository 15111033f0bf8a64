/** `guestwire capture`: frames as they pass, to a file or a pipe. */
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import type { Writable } from 'node:stream';
import { fileErrorText } from '../go-errors.ts';
import { CaptureBlocks } from './capture-blocks.ts';
import { type Client, connectTo } from './client.ts';
import { type Call, checkWords, CommandError, STATUS, usageError } from './command.ts';
import type { PortInfo } from './ports.ts';

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/** Until a signal comes, the VM goes, or there are as many frames as were asked for. */
export async function capture(call: Call): Promise<number> {
  const { environment, options } = call;
  checkWords(call.words, 0, 0, 'none');
  const file = options.text('output') ?? '-';
  if (file === '-' && environment.stdoutIsTerminal)
    throw usageError('frames are no text for a terminal: -o FILE, or a pipe to a program that reads them');
  const limit = readCount(options.text('count'));
  const client = connectTo(call);
  const vm = options.text('vm');
  const id = vm === undefined ? undefined : await findVm(client, vm);
  const response = await client.open(`/v1/capture${id === undefined ? '' : `?port=${id}`}`);
  const stopped = new AbortController();
  const stop = (): void => stopped.abort();
  for (const signal of SIGNALS) process.once(signal, stop);
  const blocks = new CaptureBlocks();
  try {
    const sink = file === '-' ? process.stdout : await create(file);
    environment.stderr(`${environment.program}: writing ${vm === undefined ? 'all frames' : `the frames of ${vm}`}; Ctrl-C ends\n`);
    await copy(response, blocks, sink, limit, stopped.signal);
    if (file !== '-') await new Promise<void>((resolve) => void sink.end(resolve));
  } finally {
    response.destroy();
    for (const signal of SIGNALS) process.off(signal, stop);
  }
  environment.stderr(
    `${environment.program}: ${blocks.frames} frames${blocks.lost > 0 ? `, and ${blocks.lost} were lost: they came too fast` : ''}\n`,
  );
  return STATUS.ok;
}

function readCount(text: string | undefined): number {
  if (text === undefined) return Infinity;
  if (!/^[1-9]\d{0,14}$/.test(text)) throw usageError(`${JSON.stringify(text)} is no number of frames`);
  return Number(text);
}

/** By name, MAC address, leased IP address or id. */
async function findVm(client: Client, text: string): Promise<number> {
  const { ports } = await client.get<{ ports: PortInfo[] }>('/v1/ports');
  const lower = text.toLowerCase();
  const found = ports.find(
    ({ id, name, macs, leases }) =>
      name === text || macs.includes(lower) || leases.some(({ address }) => address === text) || String(id) === text,
  );
  if (found === undefined) throw new CommandError(`there is no VM ${JSON.stringify(text)} (guestwire ports lists them)`);
  return found.id;
}

async function create(file: string): Promise<Writable> {
  const stream = createWriteStream(file);
  try {
    await once(stream, 'open');
  } catch (error) {
    throw new CommandError(fileErrorText(error));
  }
  return stream;
}

/** Resolves when no more is wanted, or comes. Rejects with CommandError. */
async function copy(response: IncomingMessage, blocks: CaptureBlocks, sink: Writable, limit: number, signal: AbortSignal): Promise<void> {
  // A reader that has seen enough, as head has, is no failure.
  let failed: NodeJS.ErrnoException | undefined;
  const ended = new AbortController();
  const either = AbortSignal.any([signal, ended.signal]);
  either.addEventListener('abort', () => void response.destroy(), { once: true });
  sink.on('error', (error) => {
    failed = error;
    ended.abort();
  });
  try {
    for await (const chunk of response as AsyncIterable<Uint8Array>) {
      const whole = blocks.take(chunk, limit);
      if (whole.length > 0 && !sink.write(whole)) await once(sink, 'drain', { signal: either });
      if (blocks.frames >= limit || either.aborted) break;
    }
  } catch (error) {
    if (!either.aborted) throw new CommandError((error as Error).message);
  }
  if (failed !== undefined && failed.code !== 'EPIPE') throw new CommandError(fileErrorText(failed));
}
