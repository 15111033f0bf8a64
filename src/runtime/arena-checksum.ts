/** The checksum over an arena: WebAssembly SIMD in place, or its plain twin where that is missing. */
import { CHECKSUM_WASM } from '../packet/checksum-wasm.ts';
import { sum, type Sum } from '../packet/checksum.ts';
import type { Arena } from './arena.ts';

declare const WebAssembly: {
  validate(code: Uint8Array): boolean;
  Module: new (code: Uint8Array) => object;
  Instance: new (module: object, imports: object) => { readonly exports: { readonly sum: Sum } };
};

export function arenaSum(arena: Arena): Sum {
  const code = Buffer.from(CHECKSUM_WASM, 'base64');
  if (!WebAssembly.validate(code)) return (at, length, initial) => sum(arena.bytes, at, length, initial);
  return new WebAssembly.Instance(new WebAssembly.Module(code), { arena: { memory: arena.memory } }).exports.sum;
}
