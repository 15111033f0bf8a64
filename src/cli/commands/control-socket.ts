/** Where a network that runs listens for the other commands: a socket in a folder that only its user can enter. */
import { lstatSync, mkdirSync, unlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { CommandError, usageError } from './command.ts';

export const DEFAULT_NAME = 'default';
/** What `sun_path` holds, without the final zero. */
const PATH_LIMIT = 107;

type Variables = Readonly<Record<string, string | undefined>>;

/** Path of the socket of the network `name`. Throws CommandError for what can't be a name. */
export function controlPath(name: string = DEFAULT_NAME, variables: Variables): string {
  if (!/^[\w][\w.-]{0,63}$/.test(name))
    throw usageError(`${JSON.stringify(name)} is no name: want letters, digits, and - _ . behind the first`);
  const path = join(folderOf(variables), `${name}.sock`);
  if (Buffer.byteLength(path) > PATH_LIMIT)
    throw usageError(`${path} is too long for a socket, ${PATH_LIMIT} bytes: choose a shorter name, or another XDG_RUNTIME_DIR`);
  return path;
}

/**
 * URL on which the network `name` is to listen. What a program that was killed has left there is removed. Rejects with CommandError when
 * another one runs under that name, or the folder isn't safe.
 */
export async function claimControlSocket(name: string, variables: Variables): Promise<string> {
  const path = controlPath(name, variables);
  prepareFolder(variables);
  const answer = await probe(path);
  if (answer === undefined)
    throw new CommandError(`a network runs under the name ${JSON.stringify(name)} (${path}): --name gives this one another`);
  if (answer === 'ECONNREFUSED') unlinkSync(path);
  return `unix://${path}`;
}

/** Undefined when somebody listens; else why not. */
function probe(path: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.on('connect', () => {
      socket.destroy();
      resolve(undefined);
    });
    socket.on('error', ({ code }: NodeJS.ErrnoException) => resolve(code ?? ''));
  });
}

/** Throws CommandError when the folder of the sockets isn't, or can't be, this user's own. */
function prepareFolder(variables: Variables): void {
  const folder = folderOf(variables);
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new CommandError(`cannot make ${folder}: ${(error as Error).message} (XDG_RUNTIME_DIR says where it is to be)`);
  }
  // In /tmp somebody else may have been there first.
  const { uid, mode } = lstatSync(folder);
  if (uid !== process.getuid?.() || (mode & 0o022) !== 0) {
    throw new CommandError(
      `${folder} could be changed by other users: want a folder of this user's with mode 700 (XDG_RUNTIME_DIR says where it is to be)`,
    );
  }
}

/** Without XDG_RUNTIME_DIR, as under sudo and in containers, in /tmp. */
function folderOf(variables: Variables): string {
  const runtime = variables['XDG_RUNTIME_DIR'] ?? '';
  return runtime.startsWith('/') ? join(runtime, 'guestwire') : `/tmp/guestwire-${process.getuid?.() ?? 0}`;
}
