/** `guestwire completion`: scripts for shells, made from the table of commands. */
import { GVPROXY_FLAGS } from '../gvproxy-flags.ts';
import { type Call, checkWords, type CommandDefinition, STATUS, usageError } from './command.ts';
import { COMMANDS } from './table.ts';

const SHELLS: Readonly<Record<string, () => string>> = { bash, zsh, fish };

export async function completion({ environment, words }: Call): Promise<number> {
  checkWords(words, 1, 1, 'bash, zsh or fish');
  const script = Object.hasOwn(SHELLS, words[0]!) ? SHELLS[words[0]!] : undefined;
  if (script === undefined) throw usageError(`there is nothing for ${JSON.stringify(words[0])}: want bash, zsh or fish`);
  environment.stdout(script());
  return STATUS.ok;
}

interface Word {
  readonly text: string;
  readonly summary: string;
  /** A word follows that is its value. */
  readonly takesValue: boolean;
}

/** Options of a command, as they are written. */
function optionsOf({ options, goFlags }: CommandDefinition): Word[] {
  if (goFlags === true) {
    return Object.entries(GVPROXY_FLAGS).map(([name, { kind, usage }]) => ({
      text: `-${name}`,
      summary: usage,
      takesValue: kind !== 'bool',
    }));
  }
  const words = Object.entries(options).map(([name, { type, summary }]) => ({ text: `--${name}`, summary, takesValue: type === 'string' }));
  return [...words, { text: '--help', summary: 'print the help', takesValue: false }];
}

function bash(): string {
  const names = COMMANDS.map(({ name }) => name).join(' ');
  const cases = COMMANDS.map((command) => {
    const options = optionsOf(command);
    const valued = options.filter(({ takesValue }) => takesValue).map(({ text }) => text);
    return `    ${command.name})
      options="${options.map(({ text }) => text).join(' ')}"
      valued=" ${valued.join(' ')} "
      verbs="${(command.verbs ?? []).join(' ')}"
      ;;
`;
  });
  return `# bash completion of guestwire
_guestwire() {
  local word="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}" options="" valued=" " verbs=""
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "${names} help version" -- "$word"))
    return
  fi
  case "\${COMP_WORDS[1]}" in
    help) options="${names}" ;;
${cases.join('')}  esac
  # Values, and whatever a command takes besides, are completed as files.
  if [[ "$valued" != *" $before "* ]]; then
    if [[ "$word" == -* || "\${COMP_WORDS[1]}" == help ]]; then
      COMPREPLY=($(compgen -W "$options" -- "$word"))
    elif [ "$COMP_CWORD" -eq 2 ]; then
      COMPREPLY=($(compgen -W "$verbs" -- "$word"))
    fi
  fi
}
complete -o bashdefault -o default -F _guestwire guestwire
`;
}

function zsh(): string {
  const quoted = (text: string): string => `'${text.replaceAll(/[[\]:\\]/g, String.raw`\$&`).replaceAll("'", String.raw`'\''`)}'`;
  const names = COMMANDS.map(({ name, summary }) => `    ${quoted(name).slice(0, -1)}:${quoted(summary).slice(1)}\n`);
  const cases = COMMANDS.map((command) => {
    const options = optionsOf(command).map(
      ({ text, summary, takesValue }) =>
        ` \\\n        ${quoted(text).slice(0, -1)}[${quoted(summary).slice(1, -1)}]${takesValue ? ":value:_files'" : "'"}`,
    );
    const verbs = command.verbs === undefined ? '' : ` \\\n        '1:verb:(${command.verbs.join(' ')})'`;
    return `    ${command.name})\n      _arguments${options.join('')}${verbs} \\\n        '*:word:_files'\n      ;;\n`;
  });
  return `#compdef guestwire
_guestwire() {
  local -a commands
  commands=(
${names.join('')}  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  local command=$words[2]
  shift words
  (( CURRENT-- ))
  case $command in
${cases.join('')}  esac
}
_guestwire "$@"
`;
}

function fish(): string {
  const quoted = (text: string): string => `'${text.replaceAll(/[\\']/g, String.raw`\$&`)}'`;
  const lines = COMMANDS.flatMap((command) => {
    const within = `-n '__fish_seen_subcommand_from ${command.name}'`;
    const options = optionsOf(command).map(({ text, summary, takesValue }) => {
      const name = text.startsWith('--') ? `-l ${text.slice(2)}` : `-o ${text.slice(1)}`;
      return `complete -c guestwire ${within} ${name}${takesValue ? ' -r' : ''} -d ${quoted(summary)}`;
    });
    const verbs = command.verbs === undefined ? [] : [`complete -c guestwire -f ${within} -a ${quoted(command.verbs.join(' '))}`];
    return [`complete -c guestwire -f -n __fish_use_subcommand -a ${command.name} -d ${quoted(command.summary)}`, ...verbs, ...options];
  });
  return `# fish completion of guestwire\n${lines.join('\n')}\n`;
}
