/** `/debug/pprof/…` at level debug (contract §13.1): what V8 has of what Go's profiler offers there. */
import type { ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Target } from './path.ts';
import { send, sendError } from './reply.ts';

export const PROFILES = '/debug/pprof/';

/** Seconds that a profile takes at most: an answer has ten, as in the original. */
const LONGEST = 10;
/** Seconds when the request names none: Go's default, and too long there as well. */
const DEFAULT_SECONDS = 30;

let running = false;

export async function profile(response: ServerResponse, target: Target): Promise<void> {
  const name = target.path.slice(PROFILES.length);
  if (name === 'cmdline') return send(response, 200, { 'Content-Type': 'text/plain; charset=utf-8' }, process.argv.join('\0'));
  if (name !== 'profile') {
    return sendError(
      response,
      501,
      `there is no ${name === '' ? 'index' : name} here: this is Node, not Go; ${PROFILES}cmdline and ${PROFILES}profile?seconds=5 are`,
    );
  }
  const seconds = Number(target.query.get('seconds') ?? DEFAULT_SECONDS);
  if (!(seconds > 0 && seconds < LONGEST)) {
    return sendError(
      response,
      400,
      `profile duration exceeds server's WriteTimeout (ask for fewer than ${LONGEST}: ${PROFILES}profile?seconds=5)`,
    );
  }
  if (running) return sendError(response, 500, 'Could not enable CPU profiling: cpu profiling already in use');
  running = true;
  try {
    const body = JSON.stringify(await recordCpu(seconds * 1000));
    send(response, 200, { 'Content-Type': 'application/json', 'Content-Disposition': 'attachment; filename="profile.cpuprofile"' }, body);
  } finally {
    running = false;
  }
}

async function recordCpu(milliseconds: number): Promise<unknown> {
  // Loaded when it is asked for: it costs every start of the program otherwise.
  const { Session } = await import('node:inspector/promises');
  const session = new Session();
  session.connect();
  try {
    await session.post('Profiler.enable');
    await session.post('Profiler.start');
    await sleep(milliseconds);
    return (await session.post('Profiler.stop')).profile;
  } finally {
    session.disconnect();
  }
}
