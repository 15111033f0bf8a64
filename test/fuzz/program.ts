/**
 * What the fuzzer runs: a program of steps, 16 bytes each. Every byte string is a program, so that any mutation of one is
 * another: fields that are out of range wrap around (see vm.ts and executor.ts for what they mean).
 *
 *     0    1    2     3   4   5      6..7   8       9   10..11   12    13       14   15
 *     kind slot flags seq ack window length options how position value mutation time extra
 *
 * As text: `world N`, then one step a line in hex. Lines that begin with `#` say how it came about.
 */
import { u16 } from '../../src/packet/bytes.ts';

export const STEP_LENGTH = 16;

export interface Program {
  /** Which of the worlds it runs in (world.ts). */
  readonly world: number;
  readonly steps: readonly Uint8Array[];
}

export function writeProgram(program: Program, note = ''): string {
  const lines = program.steps.map((step) => Buffer.from(step).toString('hex'));
  return `${note === '' ? '' : `# ${note}\n`}world ${program.world}\n${lines.join('\n')}\n`;
}

/** Throws TypeError for text that `writeProgram` would not write. */
export function readProgram(text: string): Program {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  const world = /^world (\d)$/.exec(lines.shift() ?? '');
  if (world === null || lines.some((line) => !/^[0-9a-f]{32}$/.test(line))) throw new TypeError('that is no program of the fuzzer');
  return { world: Number(world[1]), steps: lines.map((line) => Uint8Array.from(Buffer.from(line, 'hex'))) };
}

/** The fields of a step. */
export class Step {
  readonly kind: number;
  readonly slot: number;
  readonly flags: number;
  readonly seq: number;
  readonly ack: number;
  readonly window: number;
  readonly length: number;
  readonly options: number;
  readonly how: number;
  readonly position: number;
  readonly value: number;
  readonly mutation: number;
  readonly time: number;
  readonly extra: number;

  constructor(bytes: Uint8Array) {
    this.kind = bytes[0]!;
    this.slot = bytes[1]!;
    this.flags = bytes[2]!;
    this.seq = bytes[3]!;
    this.ack = bytes[4]!;
    this.window = bytes[5]!;
    this.length = u16(bytes, 6);
    this.options = bytes[8]!;
    this.how = bytes[9]!;
    this.position = u16(bytes, 10);
    this.value = bytes[12]!;
    this.mutation = bytes[13]!;
    this.time = bytes[14]!;
    this.extra = bytes[15]!;
  }
}

/** An entry of `list`, whatever the number. */
export function pick<T>(list: readonly T[], number: number): T {
  return list[number % list.length]!;
}
