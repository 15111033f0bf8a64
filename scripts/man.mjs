// Writes the lists of flags and commands into man/*.1, of the very tables that the programs read: between `.\" begin` and `.\" end`.
// The rest of a page is written by hand. Reads build/, which `npm test` or `npx tsc -p tsconfig.json` makes. `--check` writes nothing
// and says what is out of date.
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const load = (path) => import(new URL(`../build/src/cli/${path}.js`, import.meta.url).href);

/** As a line of mdoc: what looks like a hyphen is a minus, so that it can be copied; no control character at the start. */
function text(line) {
  const escaped = line.replaceAll('\\', '\\e').replaceAll('-', '\\-').replaceAll('…', '...').replaceAll('\n', ' ');
  if (/[^ -~]/.test(escaped)) throw new Error(`not ASCII: ${line}`);
  return /^[.']/.test(escaped) ? `\\&${escaped}` : escaped;
}

/** Of a macro: in quotes. */
function argument(word) {
  return `"${text(word).replaceAll('"', '\\(dq')}"`;
}

const VALUES = { bool: '', int: ' Ar NUMBER', string: ' Ar VALUE', list: ' Ar VALUE' };

function flagList(definitions) {
  const items = Object.keys(definitions)
    .sort()
    .flatMap((name) => {
      const { kind, usage, default: initial } = definitions[name];
      const shown = [undefined, '', 0, false].includes(initial) || usage.includes('default') ? '' : ` (default ${initial})`;
      return [`.It Fl ${text(name)}${VALUES[kind]}`, text(`${usage}${shown}${kind === 'list' ? '; may be given several times' : ''}.`)];
    });
  return ['.Bl -tag -width Ds', ...items, '.El'];
}

function commandList(commands) {
  return commands.flatMap(({ name, summary, usage, options, notes = [], statuses = {}, examples }) => [
    `.Ss ${name}`,
    ...usage.flatMap((form, i) => [...(i === 0 ? [] : ['.br']), `.Nm guestwire Cm ${argument(`${name} ${form}`)}`]),
    '.Pp',
    text(`${summary[0].toUpperCase()}${summary.slice(1)}.`),
    ...optionList(options),
    ...notes.flatMap((note) => ['.Pp', text(note)]),
    ...Object.values(statuses).flatMap((meaning) => ['.Pp', text(`Exit status: ${meaning}.`)]),
    '.Bd -literal -offset indent',
    ...examples.map(text),
    '.Ed',
  ]);
}

function optionList(options) {
  const entries = Object.entries(options);
  if (entries.length === 0) return [];
  const items = entries.flatMap(([name, { short, type, value = 'TEXT', summary }]) => {
    const ar = type === 'boolean' ? '' : ` Ar ${argument(value)}`;
    const first = short === undefined ? '' : `Fl ${short}${ar} , `;
    return [`.It ${first}Fl \\-${text(name)}${ar}`, text(`${summary}.`)];
  });
  return ['.Bl -tag -width Ds', ...items, '.El'];
}

const [{ GVPROXY_FLAGS }, { GVFORWARDER_FLAGS }, { SSH_OVER_VSOCK_FLAGS }, { COMMANDS }] = await Promise.all(
  ['gvproxy-flags', 'gvforwarder-flags', 'ssh-over-vsock', 'commands/table'].map(load),
);
const lists = {
  gvproxy: ['flags', flagList(GVPROXY_FLAGS)],
  gvforwarder: ['flags', flagList(GVFORWARDER_FLAGS)],
  'ssh-over-vsock': ['flags', flagList(SSH_OVER_VSOCK_FLAGS)],
  guestwire: ['commands', commandList(COMMANDS)],
};

for (const [program, [what, lines]] of Object.entries(lists)) {
  const path = `${root}/man/${program}.1`;
  const page = readFileSync(path, 'utf8');
  const [begin, end] = [`.\\" begin ${what}\n`, `.\\" end ${what}\n`];
  const from = page.indexOf(begin) + begin.length;
  const to = page.indexOf(end);
  if (from < begin.length || to < from) throw new Error(`${path} has no place for ${what}`);
  const wanted = `${page.slice(0, from)}${lines.join('\n')}\n${page.slice(to)}`;
  if (wanted === page) continue;
  if (process.argv.includes('--check')) {
    console.error(`man/${program}.1 is out of date: node scripts/man.mjs writes it anew`);
    process.exitCode = 1;
  } else writeFileSync(path, wanted);
}
