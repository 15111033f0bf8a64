/** What a table is worth without: the machine and the versions it was measured with. */
import { readFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { join } from 'node:path';
import { execute } from './children.ts';
import { type Gateway, OURS, ROOT } from './gateways.ts';

export interface Surroundings {
  /** The day, as in 2026-01-31. */
  readonly date: string;
  readonly node: string;
  readonly kernel: string;
  readonly processor: string;
  readonly cores: number;
  /** By gateway. */
  readonly versions: Readonly<Record<string, string>>;
}

export async function describeSurroundings(gateways: readonly Gateway[]): Promise<Surroundings> {
  const versions: Record<string, string> = {};
  for (const gateway of gateways) versions[gateway.name] = await version(gateway);
  const processors = cpus();
  return {
    date: new Date().toISOString().slice(0, 10),
    node: process.versions.node,
    kernel: release(),
    processor: processors[0]?.model ?? 'unknown processor',
    cores: processors.length,
    versions,
  };
}

async function version(gateway: Gateway): Promise<string> {
  if (gateway.name === OURS) return ours();
  const { stdout, stderr } = await execute(gateway.program, [gateway.name === 'gvproxy' ? '-version' : '--version']);
  const [first = ''] = `${stdout}${stderr}`.split('\n');
  const number = /\d[\w.-]*(?: \([^)]*\))?/.exec(first)?.[0] ?? (await packaged(gateway.program));
  return gateway.name === 'libslirp' ? `of QEMU ${number}` : number;
}

/** Debian's builds of passt don't know their version. */
async function packaged(program: string): Promise<string> {
  const owner = await execute('dpkg-query', ['-S', program]);
  const name = owner.stdout.split(':')[0];
  if (owner.status !== 0 || name === undefined) return 'of unknown version';
  const { stdout } = await execute('dpkg-query', ['-W', '-f', '${Version}', name]);
  return stdout || 'of unknown version';
}

async function ours(): Promise<string> {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
  const { status, stdout } = await execute('git', ['-C', ROOT, 'rev-parse', '--short', 'HEAD']);
  return status === 0 ? `${version} (${stdout.trim()})` : version;
}
