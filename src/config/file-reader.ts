/**
 * Reads gvproxy's configuration file (contract §3): what has the wrong type is refused, what is unknown is warned of and left out,
 * both with file, line and column.
 *
 * The values are taken from the YAML nodes by the schema, as Go's decoder takes them by the field's type: `5000` is text where
 * text is wanted, `yes` is true where a truth value is wanted.
 */
import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument, type Scalar, type YAMLMap } from 'yaml';
import { z } from 'zod';
import { type ConfigFile, FILE_SCHEMA } from './file-schema.ts';
import { nearest } from './nearest.ts';
import { ConfigError } from './subnet.ts';

export interface ReadFile {
  readonly file: ConfigFile;
  readonly warnings: readonly string[];
}

/** `path` is for messages. Throws ConfigError: `failed to parse configuration: FILE:LINE:COL: …`. */
export function readConfigFile(text: string, path: string): ReadFile {
  const reader = new Reader(text, path);
  return { file: reader.read(), warnings: reader.warnings };
}

type Path = readonly PropertyKey[];

const WANTED: Readonly<Record<string, string>> = {
  string: 'text',
  int: 'a whole number',
  number: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a map',
  record: 'a map of texts',
};

class Reader {
  readonly warnings: string[] = [];
  readonly #path: string;
  readonly #lines: LineCounter = new LineCounter();
  readonly #document: ReturnType<typeof parseDocument>;
  /** Where the value of each path stands. */
  readonly #nodes: Map<string, Node> = new Map();

  constructor(text: string, path: string) {
    this.#path = path;
    this.#document = parseDocument(text, { lineCounter: this.#lines, prettyErrors: false });
  }

  read(): ConfigFile {
    for (const { code, message, pos } of this.#document.errors) {
      // As Go's decoder, which reads the first.
      if (code === 'MULTIPLE_DOCS') this.warnings.push(`${this.#place(pos[0])}: only the first document of the file is read`);
      else this.#fail(pos[0], message);
    }
    const value = this.#value(this.#document.contents, FILE_SCHEMA, []);
    const result = FILE_SCHEMA.safeParse(value ?? {});
    if (result.success) return result.data;
    const [issue] = result.error.issues;
    const { path, message } = issue!;
    const node = this.#nodes.get(keyOf(path));
    const why = issue!.code === 'invalid_type' ? `want ${WANTED[issue!.expected] ?? issue!.expected}, not ${described(node)}` : message;
    return this.#fail(node?.range?.[0] ?? 0, path.length === 0 ? why : `${dotted(path)}: ${why}`);
  }

  /** Undefined for what is empty: Go leaves such a field alone. */
  #value(given: unknown, wanted: z.ZodType, path: Path): unknown {
    const schema = wanted instanceof z.ZodOptional ? (wanted.unwrap() as z.ZodType) : wanted;
    const node = this.#resolved(given);
    if (node === undefined || (isScalar(node) && node.value === null)) return undefined;
    this.#nodes.set(keyOf(path), node);
    if (isMap(node) && schema instanceof z.ZodObject) return this.#object(node, schema, path);
    if (isMap(node) && schema instanceof z.ZodRecord) {
      return Object.fromEntries(
        this.#pairs(node).map(([key, , value]) => [key, this.#value(value, schema.valueType as z.ZodType, [...path, key]) ?? '']),
      );
    }
    if (isSeq(node) && schema instanceof z.ZodArray)
      return node.items.map((item, index) => this.#value(item, schema.element as z.ZodType, [...path, index]) ?? empty(schema.element));
    // A map or a list that isn't wanted: the schema says so whatever is in it.
    return isScalar(node) ? scalar(node, schema) : isMap(node) ? {} : [];
  }

  #object(node: YAMLMap, schema: z.ZodObject, path: Path): Record<string, unknown> {
    const value: Record<string, unknown> = {};
    for (const [key, keyNode, item] of this.#pairs(node)) {
      const known = Object.hasOwn(schema.shape, key) ? (schema.shape[key] as z.ZodType) : undefined;
      if (known === undefined) {
        this.#unknown(keyNode, [...path, key], Object.keys(schema.shape));
        continue;
      }
      const read = this.#value(item, known, [...path, key]);
      if (read !== undefined) value[key] = read;
    }
    return value;
  }

  #unknown(node: Node, path: Path, known: readonly string[]): void {
    const near = nearest(String(path.at(-1)), known);
    const advice = near === undefined ? `there are ${known.join(', ')}` : `did you mean ${near}?`;
    this.warnings.push(`${this.#place(node.range?.[0] ?? 0)}: unknown key ${dotted(path)} is ignored (${advice})`);
  }

  /** Keys as text. What `<<` merges comes first: of a key that is there twice the last counts. */
  #pairs(map: YAMLMap, within: readonly YAMLMap[] = []): [string, Node, unknown][] {
    const merged: [string, Node, unknown][] = [];
    const written: [string, Node, unknown][] = [];
    for (const { key: given, value } of map.items) {
      const key = this.#resolved(given);
      const place = key?.range?.[0] ?? 0;
      if (!isScalar(key)) this.#fail(place, 'a key must be text');
      if (key.source !== '<<') {
        written.push([String(key.source ?? key.value), key, value]);
        continue;
      }
      const source = this.#resolved(value);
      const sources = isSeq(source) ? source.items.map((item) => this.#resolved(item)).toReversed() : [source];
      for (const other of sources) {
        if (!isMap(other) || other === map || within.includes(other)) this.#fail(place, '<< merges other maps');
        merged.push(...this.#pairs(other, [...within, map]));
      }
    }
    return [...merged, ...written];
  }

  #resolved(node: unknown): Node | undefined {
    if (isAlias(node))
      return node.resolve(this.#document) ?? this.#fail(node.range?.[0] ?? 0, `unknown anchor '${node.source}' referenced`);
    return node === null || node === undefined ? undefined : (node as Node);
  }

  #place(offset: number): string {
    const { line, col } = this.#lines.linePos(offset);
    return `${this.#path}:${line}:${col}`;
  }

  #fail(offset: number, why: string): never {
    throw new ConfigError(`failed to parse configuration: ${this.#place(offset)}: ${why}`);
  }
}

function keyOf(path: Path): string {
  return JSON.stringify(path);
}

function dotted(path: Path): string {
  const segments = path.map((segment) => {
    if (typeof segment === 'number') return `[${segment}]`;
    return /^[\w-]+$/.test(String(segment)) ? `.${String(segment)}` : `[${JSON.stringify(segment)}]`;
  });
  return segments.join('').replace(/^\./, '');
}

/** In a list even what is empty has its place. */
function empty(schema: unknown): unknown {
  return schema instanceof z.ZodObject ? {} : '';
}

function scalar(node: Scalar, schema: z.ZodType): unknown {
  const { value, source } = node;
  if (schema instanceof z.ZodString) return typeof value === 'string' ? value : (source ?? String(value));
  // YAML 1.1's words, which Go takes for a truth value where one is wanted.
  if (schema instanceof z.ZodBoolean && node.type === 'PLAIN') {
    if (/^(y|Y|yes|on)$/.test(String(value))) return true;
    if (/^(n|N|no|off)$/.test(String(value))) return false;
  }
  return value;
}

function described(node: Node | undefined): string {
  if (isScalar(node)) return JSON.stringify(node.value);
  return isSeq(node) ? 'a list' : 'a map';
}
