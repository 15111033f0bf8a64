/**
 * JSON values into the fields of Go's types (contract §13.2): names whatever their case, unknown ones ignored, null changes nothing,
 * and of a name that comes twice the last counts.
 */
import { type JsonArray, JsonError, JsonNumber, JsonObject, type JsonValue } from './go-json.ts';

/** What a field takes: its type as Go names it, and how its value is read; undefined when the value is of another kind. */
interface FieldType<T> {
  readonly type: string;
  read(value: JsonValue, path: string, root: string): T | undefined;
  /** Go's zero value. */
  readonly zero: T;
}

type Fields<T> = { readonly [K in keyof T]: FieldType<T[K]> };

export const TEXT: FieldType<string> = {
  type: 'string',
  zero: '',
  read: (value) => (typeof value === 'string' ? value : undefined),
};

/** A text that Go reads with a function of the type's own, `read`; that may throw. */
export function textOf<T>(type: string, zero: T, read: (text: string) => T): FieldType<T> {
  return { type, zero, read: (value) => (typeof value === 'string' ? read(value) : undefined) };
}

/** `type` is Go's name for one element, as `types.Record`. */
export function listOf<T extends object>(type: string, fields: Fields<T>): FieldType<readonly T[]> {
  return {
    type: `[]${type}`,
    zero: [],
    read: (value, path, root) => (isArray(value) ? value.map((element) => readFields(element, type, fields, `${path}.`, root)) : undefined),
  };
}

/** `type` is Go's name with its package, as `types.ExposeRequest`. Throws JsonError with Go's message. */
export function decode<T extends object>(value: JsonValue, type: string, fields: Fields<T>): T {
  return readFields(value, type, fields, '', type.slice(type.indexOf('.') + 1));
}

function readFields<T extends object>(value: JsonValue, type: string, fields: Fields<T>, path: string, root: string): T {
  const names = Object.keys(fields) as (keyof T & string)[];
  const result = Object.fromEntries(names.map((name) => [name, fields[name].zero])) as T;
  if (value === null) return result;
  if (!(value instanceof JsonObject)) {
    const into = path === '' ? 'value' : `struct field ${root}.${path.slice(0, -1)}`;
    throw new JsonError(`json: cannot unmarshal ${kindOf(value)} into Go ${into} of type ${type}`);
  }
  for (const [given, member] of value.members) {
    const name = names.find((known) => known.toLowerCase() === given.toLowerCase());
    if (name === undefined || member === null) continue;
    const read = fields[name].read(member, `${path}${name}`, root);
    if (read === undefined) {
      throw new JsonError(
        `json: cannot unmarshal ${kindOf(member)} into Go struct field ${root}.${path}${name} of type ${fields[name].type}`,
      );
    }
    result[name] = read;
  }
  return result;
}

function isArray(value: JsonValue): value is JsonArray {
  return Array.isArray(value);
}

function kindOf(value: JsonValue): string {
  if (value instanceof JsonNumber) return 'number';
  if (value instanceof JsonObject) return 'object';
  if (isArray(value)) return 'array';
  return typeof value === 'boolean' ? 'bool' : 'string';
}
