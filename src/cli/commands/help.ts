/** Help, made from the table of commands. */
import type { CommandDefinition, OptionDefinition } from './command.ts';

const STATUSES = '0 done, 1 failed, 2 the command line makes no sense, 3 nothing is running there';

/** Of the program: every command with its summary. */
export function programHelp(commands: readonly CommandDefinition[]): string {
  const forms = commands.map(
    ({ name, goFlags, verbs }) => `${name}${goFlags === true ? ' [flags]' : verbs === undefined ? '' : ` ${verbs.join('|')}`}`,
  );
  const width = Math.max(...forms.map((form) => form.length));
  return `guestwire: networking for virtual machines without root

${commands.map(({ summary }, i) => `  guestwire ${forms[i]!.padEnd(width)}  ${summary}\n`).join('')}
  guestwire COMMAND --help has a command's options and examples, guestwire version the version.
  Exit status: ${STATUSES}.

Programs of the package: gvproxy, gvforwarder, qemu-wrapper (drop-ins for gvisor-tap-vsock's), ssh-over-vsock, guestwire.

  guestwire qemu --forward 8080:80 -- -m 1G -hda disk.qcow2

  guestwire run -listen-qemu unix:///tmp/vm.sock
  qemu-system-x86_64 … -netdev stream,id=n0,server=off,addr.type=unix,addr.path=/tmp/vm.sock -device virtio-net-pci,netdev=n0,mac=5a:94:ef:e4:0c:ee
`;
}

export function commandHelp(command: CommandDefinition): string {
  const { name, summary, usage, options, notes = [], examples, statuses = {} } = command;
  const rows = Object.entries(options).map(([option, definition]) => [optionText(option, definition), definition.summary] as const);
  const width = Math.max(0, ...rows.map(([text]) => text.length));
  const sections = [
    `guestwire ${name}: ${summary}`,
    usage.map((form) => `  guestwire ${name}${form === '' ? '' : ` ${form}`}`).join('\n'),
    rows.map(([text, meaning]) => `  ${text.padEnd(width)}  ${meaning}`).join('\n'),
    ...notes,
    `Exit status: ${[STATUSES, ...Object.entries(statuses).map(([status, meaning]) => `${status} ${meaning}`)].join('; ')}.`,
    `Examples:\n${examples.map((example) => `  ${example}`).join('\n')}`,
  ];
  return `${sections.filter((section) => section !== '').join('\n\n')}\n`;
}

function optionText(name: string, { short, type, value = 'TEXT' }: OptionDefinition): string {
  return `${short === undefined ? '    ' : `-${short}, `}--${name}${type === 'boolean' ? '' : ` ${value}`}`;
}
