/** The measuring tools in C, compiled by this machine's gcc: in JavaScript they, and not the gateway, would set the pace. */
import { existsSync, mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { succeed } from './children.ts';
import { onPath, ROOT } from './gateways.ts';

const SOURCES = join(ROOT, 'bench/tools');
const PROGRAMS = join(ROOT, 'build/bench/tools');

export interface Tools {
  readonly bridge: string;
  /** That of VM to VM. */
  readonly segmentBridge: string;
  readonly latency: string;
}

/** What a comparison needs of this machine and lacks, as text; null for nothing. */
export function missingTool(): string | null {
  if (process.getuid?.() !== 0) return 'the comparison makes network namespaces and a TAP device: run it as root';
  if (!existsSync('/dev/net/tun')) return 'there is no /dev/net/tun: load the kernel module tun';
  const packages = { gcc: 'gcc libc6-dev', ip: 'iproute2', iperf3: 'iperf3', prlimit: 'util-linux' };
  for (const [program, name] of Object.entries(packages)) {
    if (onPath(program) === null) return `${program} is missing: apt-get install ${name}`;
  }
  return null;
}

/** Compiles what is not compiled yet. Rejects with gcc's own words. */
export async function compileTools(): Promise<Tools> {
  mkdirSync(PROGRAMS, { recursive: true });
  return { bridge: await compile('tap-bridge'), segmentBridge: await compile('segment-bridge'), latency: await compile('latency') };
}

async function compile(name: string): Promise<string> {
  const source = join(SOURCES, `${name}.c`);
  const program = join(PROGRAMS, name);
  if (!existsSync(program) || statSync(program).mtimeMs < statSync(source).mtimeMs) {
    await succeed('gcc', ['-O3', '-Wall', '-Wextra', '-Werror', '-o', program, source]);
  }
  return program;
}
