/**
 * Runs a program and judges it: nothing is lost, doubled, changed or invented; ends and resets reach the other side; when all
 * is over nothing is left. Whatever is wrong is thrown.
 */
import { type End, Fault } from './end.ts';
import type { Action, Program } from './program.ts';
import { type Connection, World } from './world.ts';

/** Milliseconds that a reset takes at most when nothing is lost: delays, jitter, queues and stalls of the generator's links. */
const PROMPT = 5000;
/**
 * Milliseconds in which a connection that nobody aborts comes to its end once the link is fair: a timeout that has grown for the
 * program's duration, but not a keep-alive. That may be needed where a reset was lost; and TIME-WAIT passes too.
 */
const PATIENCE = 90_000;
const QUIET = 240_000;

class Run {
  readonly #program: Program;
  readonly #world: World;
  #fairSince = Infinity;
  /** Resets that must arrive: nothing was lost since, and both ends knew of each other. */
  readonly #due: Map<End, End> = new Map();
  #shut = false;

  constructor(program: Program) {
    this.#program = program;
    this.#world = new World(program);
    if (isFair(program)) this.#fairSince = 0;
  }

  run(): void {
    const world = this.#world;
    try {
      for (const action of this.#program.actions) {
        this.#perform(action);
        world.settle();
        this.#check();
      }
      this.#readAll();
      this.#expectResets();
      this.#end();
    } finally {
      world.close();
    }
  }

  #perform(action: Action): void {
    const world = this.#world;
    switch (action[0]) {
      case 'open':
        return world.open(action[1], action[2], action[3]);
      case 'send': {
        const end = world.end(action[1], action[2]);
        if (end !== undefined && !end.finished && end.outcome === 'open') end.send(action[3]);
        return;
      }
      case 'read':
        return world.end(action[1], action[2])?.read(action[3] < 0 ? Infinity : action[3]);
      case 'finish': {
        const end = world.end(action[1], action[2]);
        if (end !== undefined && !end.finished && end.outcome === 'open') end.finish();
        return;
      }
      case 'abort':
        return this.#abort(world.connections.get(action[1]), action[2]);
      case 'wait':
        return world.run(action[1]);
      case 'stall':
        return world[action[1]].stall(action[2]);
      case 'shut':
        this.#shut = true;
        return world.side.shutFor(action[1]);
      case 'fair':
        world.makeFair();
        this.#fairSince = Math.min(this.#fairSince, world.time.now);
    }
  }

  #abort(connection: Connection | undefined, by: 'guest' | 'host'): void {
    if (connection === undefined) return;
    const [end, other] = by === 'guest' ? [connection.guest, connection.host] : [connection.host, connection.guest];
    if (end.outcome !== 'open') return;
    // When both have finished, all may be done below what the applications see.
    const known = end.established && other.established && other.outcome === 'open' && !(end.finished && other.finished);
    // A port that takes nothing, and a queue that overflows, lose resets.
    const carried = this.#fairSince <= this.#world.time.now && !this.#shut && this.#program.polite;
    end.abort();
    if (known && carried) this.#due.set(other, end);
  }

  /** What holds at any time. */
  #check(): void {
    for (const { guest, host } of this.#world.connections.values()) {
      checkEnd(guest, host);
      checkEnd(host, guest);
    }
  }

  /** Whoever has stopped reading goes on, and may not be heard: windows that open must be asked for. */
  #readAll(): void {
    for (const { guest, host } of this.#world.connections.values()) {
      guest.read(Infinity);
      host.read(Infinity);
    }
    this.#world.run(100);
  }

  #expectResets(): void {
    const world = this.#world;
    world.makeFair();
    if (this.#due.size === 0) return;
    world.run(PROMPT, () => [...this.#due.keys()].every(({ outcome }) => outcome !== 'open'));
    for (const [end, by] of this.#due) {
      if (end.outcome === 'open') throw new Fault(`${end.name} has not heard of the reset by ${by.name}`);
    }
  }

  #end(): void {
    const world = this.#world;
    for (const { guest, host } of world.connections.values()) {
      for (const end of [guest, host]) {
        if (!end.finished && end.outcome === 'open') end.finish();
      }
    }
    const quiet = [...world.connections.values()].filter(({ guest, host }) => !guest.aborted && !host.aborted);
    world.run(PATIENCE, () => !quiet.some(isOpen));
    for (const connection of quiet) checkOutcome(connection);
    world.run(QUIET, () => world.time.idle);
    this.#check();
    for (const connection of world.connections.values()) checkOutcome(connection);
    const { remains } = world;
    if (remains.length > 0) throw new Fault(`left behind: ${remains.join('; ')}`);
  }
}

function isFair({ up, down }: Program): boolean {
  return [up, down].every(({ loss, duplicate, reorder }) => loss === 0 && duplicate === 0 && reorder === 0);
}

function checkEnd(end: End, other: End): void {
  if (end.received > other.written) throw new Fault(`${end.name} has received ${end.received} of ${other.written} bytes`);
  if (!end.ended) return;
  if (!other.finished) throw new Fault(`${end.name} was told of an end that ${other.name} has not made`);
  if (end.received < other.written) throw new Fault(`${end.name} saw the end after ${end.received} of ${other.written} bytes`);
}

function state(end: End): string {
  return `${end.name} ${end.outcome}, ${end.written} bytes sent, ${end.received} received${end.ended ? ' to the end' : ''}`;
}

function isOpen({ guest, host }: Connection): boolean {
  return [guest, host].some(({ engaged, outcome }) => engaged && outcome === 'open');
}

function checkOutcome({ guest, host }: Connection): void {
  const whole = complete(guest, host) && complete(host, guest);
  const both = `${state(guest)}; ${state(host)}`;
  if (isOpen({ guest, host })) throw new Fault(`stuck: ${both}`);
  // A last ACK that is lost may find its sender gone when it is asked for again: a reset when everything is done.
  if (!guest.aborted && !host.aborted && !whole) throw new Fault(`nobody has aborted it, yet: ${both}`);
  for (const [end, other] of [
    [guest, host],
    [host, guest],
  ] as const) {
    if (end.outcome === 'closed' && !other.aborted && !whole) throw new Fault(`one end believes that all is well: ${both}`);
    if (end.outcome === 'closed' && !(end.ended && end.finished)) throw new Fault(`closed without an end: ${both}`);
  }
}

/** Everything that `other` has sent has arrived at `end`. */
function complete(end: End, other: End): boolean {
  return end.ended && other.finished && end.received === other.written;
}

export function run(program: Program): void {
  new Run(program).run();
}
