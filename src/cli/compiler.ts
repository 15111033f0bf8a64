/** When V8 compiles what the packet path runs. */
import { setFlagsFromString } from 'node:v8';

/** Bytes of a function's bytecode that run until it is looked at again; V8's own number is 67,584. */
const BUDGET = 30_000;
/** The first V8 (Node 22) whose second compiler gives most of the speed at once. */
const TWO_COMPILERS = 12;

/**
 * Has functions optimized after half as many calls, where V8 has one optimizing compiler only: a network does the same few things
 * from its first second on. For programs; the process of an application that embeds the library is the application's. To be called
 * when everything is loaded: with other flags V8 has no use for the code that Node has cached of its own modules.
 */
export function compileSooner(): void {
  if (Number.parseInt(process.versions.v8, 10) < TWO_COMPILERS) setFlagsFromString(`--interrupt-budget=${BUDGET}`);
}
