/** Socket options that are numbers, outside the packet path. */
import { addressOf, setsockopt } from './syscalls.ts';

const memory: Int32Array<ArrayBuffer> = new Int32Array(new ArrayBuffer(4));

/** Returns 0, or a negative errno. */
export function setOption(fd: number, level: number, name: number, value: number): number {
  memory[0] = value;
  return setsockopt(fd, level, name, addressOf(memory.buffer), 4);
}
