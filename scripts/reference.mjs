// Writes docs/reference.md: every export of the package with its docstring and its members, as the sources have them, and how stable it
// is, as docs/library.md says. Asks the compiler, whose API is not stable yet: what breaks with a new one is in this file. `--check`
// writes nothing and says whether the page is out of date.
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { ModifierFlags, SyntaxKind } from 'typescript/unstable/ast';
import { API, NodeBuilderFlags, SymbolFlags } from 'typescript/unstable/sync';

const root = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '');
const MODULES = { guestwire: 'src/index.ts', 'guestwire/testing': 'src/testing/index.ts' };
const HIDDEN = ModifierFlags.Private | ModifierFlags.Protected;
/** Members for users, where a type has more, for the rest of guestwire. */
const ONLY = {
  Port: ['id', 'name', 'counters'],
  MemoryPort: ['id', 'name', 'counters', 'onDrain', 'send', 'close', '[Symbol.dispose]'],
  SoftSocket: ['localPort', 'remoteAddress', 'remotePort'],
  Zones: ['list', 'add', 'replace', 'remove'],
};
/** The other way round: those that are not. */
const NOT = { SoftGuest: ['drained', 'receive'], VirtualNetwork: ['liveCapture'] };

/** What docs/library.md says of each export: { meaning, stability }. */
function table() {
  const rows = new Map();
  const page = readFileSync(`${root}/docs/library.md`, 'utf8');
  for (const [, names, meaning, stability] of page.matchAll(/^\| (`.*?) \| (.+?) \| ((?:stable|evolving)[^|]*) \|$/gm))
    for (const [, name] of names.matchAll(/`(\w+)`/g)) rows.set(name, { meaning, stability });
  return rows;
}

/** The docstring in front of a node, as it stands; '' without one. */
function comment(node) {
  const trivia = node.getSourceFile().text.slice(node.pos, node.getStart());
  return /\/\*\*(?:(?!\*\/)[\s\S])*\*\/\s*$/.exec(trivia)?.[0].trimEnd() ?? '';
}

function prose(docstring) {
  return docstring
    .replace(/^\/\*\*\s?|\s*\*\/$/g, '')
    .split('\n')
    .map((line) => line.replace(/^\s*\* ?/, '').trimEnd())
    .join('\n')
    .trim();
}

function reindent(text, indent) {
  return text
    .split('\n')
    .map((line, i) =>
      i === 0
        ? line
        : line
            .trim()
            .replace(/^\*/, ' *')
            .replace(/^(?! \*)/, '  '),
    )
    .map((line) => `${indent}${line}`)
    .join('\n');
}

/** A declaration without what it does; where its type is left to the compiler it says which. */
function head(node, checker) {
  const { text } = node.getSourceFile();
  const end = node.body?.pos ?? node.initializer?.pos ?? node.end;
  let start = text.slice(node.getStart(), end);
  if (node.initializer !== undefined) start = start.replace(/\s*=$/, '');
  const written = start
    .trim()
    .replace(/[;,]$/, '')
    .replace(/^(?:export |override |async |static (?=async ))+/, (words) => (words.includes('static') ? 'static ' : ''))
    .replaceAll(/\s*\n\s*/g, ' ');
  const isInferred = node.initializer !== undefined && node.type === undefined;
  return `${written}${isInferred ? `: ${checker.typeToString(checker.getTypeAtLocation(node.name))}` : ''};`;
}

function nameOf(member) {
  return member.kind === SyntaxKind.Constructor ? 'constructor' : (member.name?.getText() ?? '');
}

function isShown(symbol, member, isValue) {
  if ((member.modifierFlags & HIDDEN) !== 0 || nameOf(member).startsWith('#')) return false;
  if (member.kind === SyntaxKind.Constructor) return isValue && ONLY[symbol.name] === undefined && !(member.body === undefined);
  if (member.kind === SyntaxKind.SemicolonClassElement || member.kind === SyntaxKind.ClassStaticBlockDeclaration) return false;
  return ONLY[symbol.name]?.includes(nameOf(member)) ?? !(NOT[symbol.name] ?? []).includes(nameOf(member));
}

function members(symbol, node, isValue, checker) {
  return node.members
    .filter((member) => isShown(symbol, member, isValue))
    .flatMap((member) => {
      const docstring = comment(member);
      return [...(docstring === '' ? [] : [reindent(docstring, '  ')]), `  ${head(member, checker)}`];
    });
}

/** What is in front of a class's or interface's brace. */
function opening(node) {
  const { text } = node.getSourceFile();
  const from = text.slice(node.getStart(), node.members.pos);
  return from
    .replace(/^(?:export |declare )+/, '')
    .replaceAll(/\s+/g, ' ')
    .trim();
}

function declaration(symbol, node, isValue, checker) {
  if (node.members !== undefined) return [opening(node), ...members(symbol, node, isValue, checker), '}'].join('\n');
  if (node.kind === SyntaxKind.VariableDeclaration) return `const ${head(node, checker)}`;
  if (node.kind !== SyntaxKind.TypeAliasDeclaration) return head(node, checker);
  const written = node.getText().replace(/^export /, '');
  if (!written.includes('typeof')) return written;
  const flags = NodeBuilderFlags.NoTruncation | NodeBuilderFlags.InTypeAlias;
  return `type ${symbol.name} = ${checker.typeToString(checker.getDeclaredTypeOfSymbol(symbol), undefined, flags)};`;
}

function section(symbol, project, isValue, row) {
  const nodes = symbol.declarations.map((handle) => handle.resolve(project));
  const docstrings = nodes.map((node) => prose(comment(node.kind === SyntaxKind.VariableDeclaration ? node.parent.parent : node)));
  const said = docstrings.find((text) => text !== '') ?? `${row.meaning[0].toUpperCase()}${row.meaning.slice(1)}.`;
  return [
    `### ${symbol.name}`,
    `*${row.stability}*${isValue ? '' : ', a type'}`,
    said,
    `\`\`\`ts\n${nodes.map((node) => declaration(symbol, node, isValue, project.checker)).join('\n\n')}\n\`\`\``,
  ].join('\n\n');
}

/** As GitHub names headings: of two that differ in case the later one is numbered. */
const anchors = new Map();
function anchor(name) {
  const slug = name.toLowerCase();
  const count = anchors.get(slug) ?? 0;
  anchors.set(slug, count + 1);
  return count === 0 ? slug : `${slug}-${count}`;
}

function page() {
  const rows = table();
  const api = new API({ cwd: root });
  try {
    const [project] = api.updateSnapshot({ openProject: `${root}/tsconfig.build.json` }).getProjects();
    const { checker, program } = project;
    const parts = Object.entries(MODULES).flatMap(([name, path]) => {
      const symbols = checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(`${root}/${path}`)));
      const exports = symbols
        .map((symbol) => {
          const isAlias = (symbol.flags & SymbolFlags.Alias) !== 0;
          const specifier = symbol.declarations[0]?.resolve(project);
          const onlyType = specifier.isTypeOnly || specifier.parent?.parent?.isTypeOnly;
          return { target: isAlias ? checker.getAliasedSymbol(symbol) : symbol, isValue: !onlyType };
        })
        .toSorted((a, b) => a.target.name.localeCompare(b.target.name, 'en'));
      const index = exports.map(({ target }) => `[${target.name}](#${anchor(target.name)})`).join(',\n');
      return [
        `## ${name}`,
        index,
        ...exports.map(({ target, isValue }) => {
          const row = rows.get(target.name);
          if (row === undefined) throw new Error(`docs/library.md has no row for ${target.name}`);
          return section(target, project, isValue, row);
        }),
      ];
    });
    return `# Reference

Every export, as its source declares it: \`node scripts/reference.mjs\` writes this page in a clone. What belongs together, and what *stable* and
*evolving* promise, stands in \`docs/library.md\`.

${parts.join('\n\n')}\n`;
  } finally {
    api.close();
  }
}

const path = `${root}/docs/reference.md`;
const text = page();
if (!process.argv.includes('--check')) writeFileSync(path, text);
else if (readFileSync(path, 'utf8') !== text) {
  console.error('docs/reference.md is out of date: node scripts/reference.mjs writes it anew');
  process.exitCode = 1;
}
