/**
 * 10,000 connections held open: whether all of them work, what they cost in memory, what they leave of the speed of another one, and
 * whether the memory comes back.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { memory } from './children.ts';
import type { Note } from './cells.ts';
import type { Guest } from './guest.ts';

const CONNECTIONS = 10_000;
/** Milliseconds: for 10,000 connections or echoes, and for one line. */
const PATIENCE = 120_000;
/** Milliseconds after the last close until memory is read: what is freed lazily may be freed. */
const SETTLE = 10_000;

/** `seconds` of each run of round trips. Rejects when a step fails. */
export async function holdConnections(guest: Guest, seconds: number, note: Note): Promise<void> {
  const { pid } = guest.process;
  note('held-rr-alone', await roundTrips(guest, seconds));
  note('held-before', memory(pid, 'VmRSS'));
  const holder = guest.begin(guest.tools.latency, ['hold', guest.host, String(guest.echoPort), String(CONNECTIONS)]);
  try {
    note('held-opened', Number(await holder.printed(0, PATIENCE)));
    note('held-memory', memory(pid, 'VmRSS'));
    // A gateway that is full refuses it; the others are there none the less.
    note('held-rr', await roundTrips(guest, seconds).catch(() => NaN));
    holder.line();
    note('held-echoed', Number(await holder.printed(1, PATIENCE)));
    holder.line();
    await holder.printed(2, PATIENCE);
    await pause(SETTLE);
    note('held-after', memory(pid, 'VmRSS'));
  } finally {
    await holder.kill();
  }
}

async function roundTrips(guest: Guest, seconds: number): Promise<number> {
  const args = ['rr', guest.host, String(guest.echoPort), String(seconds)];
  const { status, stdout, stderr } = await guest.run(guest.tools.latency, args, PATIENCE);
  if (status !== 0) throw new Error(stderr || 'no answer');
  return Number(stdout);
}
