/** New programs: made up, or made of others. The same seed makes the same ones. */
import type { Random } from '../../src/runtime/clock.ts';
import { type Program, STEP_LENGTH } from './program.ts';
import { WORLD_COUNT } from './world.ts';

const STEPS = 40;
/** Longer ones cost more than they find. */
const LONGEST = 80;

export class Vary {
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  /** A whole number below `limit`. */
  below(limit: number): number {
    return (this.#random.word() >>> 0) % limit;
  }

  #byte(): number {
    return (this.#random.word() >>> 11) & 0xff;
  }

  /** Most fields are likelier to be plain than odd: a connection that nobody ever sends a good segment to teaches little. */
  #step(): Uint8Array {
    const step = Uint8Array.from({ length: STEP_LENGTH }, () => this.#byte());
    if (this.below(4) > 0) step[13]! &= 0x7f;
    if (this.below(4) > 0) step[3] = step[4] = 0;
    if (this.below(3) > 0) step[14] = 0;
    if (this.below(3) > 0) step[9]! &= 0x1f;
    if (this.below(2) > 0) step[1]! &= 0x13;
    if (this.below(2) > 0) step[2] = this.below(10);
    return step;
  }

  fresh(): Program {
    return { world: this.below(WORLD_COUNT), steps: Array.from({ length: 1 + this.below(STEPS) }, () => this.#step()) };
  }

  /** A program much like `program`, in which there may be parts of `other`. */
  mutated(program: Program, other: Program): Program {
    let steps: Uint8Array[] = program.steps.map((step) => Uint8Array.from(step));
    for (let i = 1 + this.below(4); i > 0; i--) steps = this.#change(steps, other);
    if (steps.length === 0) steps.push(this.#step());
    const world = this.below(20) === 0 ? this.below(WORLD_COUNT) : program.world;
    return { world, steps: steps.slice(0, LONGEST) };
  }

  #change(steps: Uint8Array[], other: Program): Uint8Array[] {
    const at = this.below(steps.length + 1);
    const step = steps[at];
    switch (this.below(9)) {
      case 0:
        return steps.toSpliced(at, 0, this.#step());
      case 1:
        return steps.toSpliced(at, 1 + this.below(3));
      case 2: // Again, and again.
        return step === undefined
          ? steps
          : steps.toSpliced(at, 0, ...Array.from({ length: 1 + this.below(4) }, () => Uint8Array.from(step)));
      case 3: {
        const to = this.below(steps.length + 1);
        return step === undefined ? steps : steps.toSpliced(at, 1).toSpliced(to, 0, step);
      }
      case 4: {
        const from = this.below(other.steps.length);
        const part = other.steps.slice(from, from + 1 + this.below(12)).map((each) => Uint8Array.from(each));
        return [...steps.slice(0, at), ...part, ...steps.slice(at)];
      }
      case 5:
        if (step !== undefined) step[this.below(STEP_LENGTH)]! ^= 1 << this.below(8);
        return steps;
      case 6:
        if (step !== undefined) step[13] = 0x80 | this.#byte();
        return steps;
      default:
        if (step !== undefined) step[this.below(STEP_LENGTH)] = this.#byte();
        return steps;
    }
  }
}

/** The smallest program found for which `fails` still holds: steps are left out, by halves, quarters, … (delta debugging). */
export async function minimize(program: Program, fails: (program: Program) => Promise<boolean>, tries = 400): Promise<Program> {
  let { steps } = program;
  for (let size = Math.ceil(steps.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < steps.length && tries > 0;) {
      const fewer = steps.toSpliced(at, size);
      tries--;
      // oxlint-disable-next-line no-await-in-loop -- each try depends on the one before
      if (await fails({ ...program, steps: fewer })) steps = fewer;
      else at += size;
    }
  }
  return { ...program, steps };
}
