/** `guestwire top`: what VMs do, live. */
import { setTimeout as delay } from 'node:timers/promises';
import { type Client, connectTo } from './client.ts';
import { type Call, checkWords, CommandError, STATUS } from './command.ts';
import type { FlowInfo } from './flows.ts';
import { hasColour } from './listing.ts';
import type { PortInfo } from './ports.ts';
import type { Totals } from './status.ts';
import { type Sample, topLines } from './top-view.ts';

/** Milliseconds from one look to the next. */
const INTERVAL = 1000;
/** Flows that are looked at. */
const FLOWS = 1000;

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
/** The alternate screen, without a cursor; and back (xterm's private modes 1049 and 25). */
const ENTER = '\u001b[?1049h\u001b[?25l';
const LEAVE = '\u001b[?25h\u001b[?1049l';
const HOME = '\u001b[H';
const CLEAR_LINE = '\u001b[K';
const CLEAR_REST = '\u001b[J';
const CTRL_C = '\u0003';

export async function top(call: Call): Promise<number> {
  checkWords(call.words, 0, 0, 'none');
  const { stdin } = process;
  if (!call.environment.stdoutIsTerminal || !stdin.isTTY) {
    throw new CommandError('want a terminal (guestwire ports, flows and counters print the same once)');
  }
  const client = connectTo(call);
  // Where nothing is running, this says so before the screen is taken.
  const first = await look(client);
  const ended = new AbortController();
  const end = (): void => ended.abort();
  const typed = (text: string): void => {
    if (text.includes('q') || text.includes(CTRL_C)) end();
  };
  for (const signal of SIGNALS) process.on(signal, end);
  stdin.setRawMode(true).setEncoding('utf8').on('data', typed).on('end', end);
  call.environment.stdout(ENTER);
  try {
    await watch(call, client, first, ended.signal);
  } finally {
    call.environment.stdout(LEAVE);
    stdin.off('data', typed).off('end', end).setRawMode(false).pause();
    for (const signal of SIGNALS) process.off(signal, end);
  }
  return STATUS.ok;
}

async function watch(call: Call, client: Client, first: Sample, signal: AbortSignal): Promise<void> {
  const over = new Promise<null>((resolve) => signal.addEventListener('abort', () => resolve(null), { once: true }));
  let [before, now] = [first, first];
  const draw = (): void => show(call, now, before);
  process.stdout.on('resize', draw);
  try {
    for (;;) {
      draw();
      // A network that does not answer holds up nobody who wants to go.
      const next = await Promise.race([over, delay(INTERVAL).then(() => look(client))]);
      if (next === null) return;
      [before, now] = [now, next];
    }
  } finally {
    process.stdout.off('resize', draw);
  }
}

function show(call: Call, now: Sample, before: Sample): void {
  // 0 where a terminal has not been told its size.
  const [columns, rows] = [process.stdout.columns || 80, process.stdout.rows || 24];
  const lines = topLines(now, before, { columns, rows, colour: hasColour(call) });
  call.environment.stdout(`${HOME}${lines.map((line) => line + CLEAR_LINE).join('\r\n')}${CLEAR_REST}`);
}

async function look(client: Client): Promise<Sample> {
  const [{ ports }, { flows }, totals] = await Promise.all([
    client.get<{ ports: PortInfo[] }>('/v1/ports'),
    client.get<{ flows: FlowInfo[] }>(`/v1/flows?limit=${FLOWS}`),
    client.get<Totals>('/v1/counters'),
  ]);
  return { at: performance.now(), ports, flows, totals };
}
