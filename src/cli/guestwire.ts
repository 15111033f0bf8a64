/** `guestwire`: the commands of commands/table.ts. */
import { parseArgs, type ParseArgsConfig } from 'node:util';
import { type Call, CommandError, type CommandDefinition, OptionValues, STATUS, usageError } from './commands/command.ts';
import { commandHelp, programHelp } from './commands/help.ts';
import { COMMANDS } from './commands/table.ts';
import type { Environment } from './environment.ts';
import { banner } from './version.ts';

const VERSION = ['version', '-v', '-version', '--version'];
const HELP = ['help', '-h', '-help', '--help'];

/** Resolves with the exit status. */
export async function guestwire(environment: Environment): Promise<number> {
  const [name, ...rest] = environment.argv;
  if (name !== undefined && VERSION.includes(name)) {
    environment.stdout(`${banner(environment.name)}\n`);
    return STATUS.ok;
  }
  const isHelp = name !== undefined && HELP.includes(name);
  const wanted = isHelp ? rest[0] : name;
  if (wanted === undefined) {
    environment[isHelp ? 'stdout' : 'stderr'](programHelp(COMMANDS));
    return isHelp ? STATUS.ok : STATUS.usage;
  }
  const command = COMMANDS.find((each) => each.name === wanted);
  if (command === undefined) {
    environment.stderr(`guestwire: unknown command ${JSON.stringify(wanted)}; guestwire help lists them\n`);
    return STATUS.usage;
  }
  if (isHelp || (command.goFlags !== true && asksForHelp(rest))) {
    environment.stdout(commandHelp(command));
    return STATUS.ok;
  }
  return await run(command, { ...environment, argv: rest, program: `${environment.program} ${command.name}` });
}

/** What stands behind `--` is another program's. */
function asksForHelp(words: readonly string[]): boolean {
  const end = words.indexOf('--');
  return (end < 0 ? words : words.slice(0, end)).some((word) => word === '-h' || word === '-help' || word === '--help');
}

async function run(command: CommandDefinition, environment: Environment): Promise<number> {
  try {
    const execute = await command.load();
    return await execute(readCall(command, environment));
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    const hint = error.status === STATUS.usage ? `\n${environment.program} --help has the options and examples` : '';
    environment.stderr(`${environment.program}: ${error.message}${hint}\n`);
    return error.status;
  }
}

/** Throws CommandError. */
function readCall({ options: definitions, goFlags, usage }: CommandDefinition, environment: Environment): Call {
  if (goFlags === true) return { environment, options: new OptionValues({}), words: environment.argv };
  const options: NonNullable<ParseArgsConfig['options']> = {};
  for (const [name, { type, short, multiple = false }] of Object.entries(definitions))
    options[name] = { type, multiple, ...(short !== undefined && { short }) };
  try {
    const { values, positionals } = parseArgs({ args: [...environment.argv], options, allowPositionals: true });
    return { environment, options: new OptionValues(values), words: positionals };
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException;
    if (!code.startsWith('ERR_PARSE_ARGS')) throw error;
    // Behind the first sentence Node tells how to write what nobody has meant.
    const what = message.replace(/\. To specify [\s\S]*$/, '').replaceAll('\n', ' ');
    const isAnothers = usage.some((form) => form.includes(' -- ')) && !environment.argv.includes('--');
    throw usageError(isAnothers ? `${what}; what is meant for the program follows --` : what);
  }
}
