/**
 * The first JSON value of a text, with the errors of Go's `encoding/json` (contract §13.2): clients show them to their users, and
 * some look for them. What follows the value is not looked at.
 */

export type JsonValue = null | boolean | JsonNumber | string | JsonArray | JsonObject;
/** As it was written. */
export class JsonNumber {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}
export type JsonArray = readonly JsonValue[];
/** In order, doublets kept. */
export class JsonObject {
  readonly members: readonly (readonly [name: string, value: JsonValue])[];

  constructor(members: readonly (readonly [string, JsonValue])[]) {
    this.members = members;
  }
}

/** The message is Go's. */
export class JsonError extends Error {
  override readonly name: string = 'JsonError';
}

/** Levels of arrays and objects; Go's own limit is 10,000, and no request of this API needs ten. */
const DEPTH = 500;

/** Throws JsonError. */
export function parseFirstValue(text: string): JsonValue {
  const reader = new Reader(text);
  reader.skipSpace();
  if (reader.atEnd) throw new JsonError('EOF');
  return reader.value(DEPTH);
}

const ESCAPES: Readonly<Record<string, string>> = {
  '"': '"',
  '\\': '\\',
  '/': '/',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
};

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  get atEnd(): boolean {
    return this.#at >= this.#text.length;
  }

  skipSpace(): void {
    while (/[ \t\r\n]/.test(this.#text.charAt(this.#at))) this.#at++;
  }

  /** The next character, which must be there. */
  #next(): string {
    if (this.atEnd) throw new JsonError('unexpected EOF');
    return this.#text[this.#at]!;
  }

  #refuse(where: string): never {
    throw new JsonError(`invalid character ${quoted(this.#text.codePointAt(this.#at)!)} ${where}`);
  }

  value(depth: number): JsonValue {
    const first = this.#next();
    if ((first === '{' || first === '[') && depth === 0) throw new JsonError('exceeded max depth');
    if (first === '{') return this.#object(depth - 1);
    if (first === '[') return this.#array(depth - 1);
    if (first === '"') return this.#string();
    if (first === '-' || isDigit(first)) return this.#number();
    if (first === 't') return this.#literal('true', true);
    if (first === 'f') return this.#literal('false', false);
    if (first === 'n') return this.#literal('null', null);
    return this.#refuse('looking for beginning of value');
  }

  #object(depth: number): JsonObject {
    const members: [string, JsonValue][] = [];
    this.#at++;
    this.skipSpace();
    if (this.#next() === '}') {
      this.#at++;
      return new JsonObject(members);
    }
    for (;;) {
      if (this.#next() !== '"') this.#refuse('looking for beginning of object key string');
      const name = this.#string();
      this.skipSpace();
      if (this.#next() !== ':') this.#refuse('after object key');
      this.#at++;
      this.skipSpace();
      members.push([name, this.value(depth)]);
      this.skipSpace();
      const next = this.#next();
      if (next !== ',' && next !== '}') this.#refuse('after object key:value pair');
      this.#at++;
      if (next === '}') return new JsonObject(members);
      this.skipSpace();
    }
  }

  #array(depth: number): JsonArray {
    const elements: JsonValue[] = [];
    this.#at++;
    this.skipSpace();
    if (this.#next() === ']') {
      this.#at++;
      return elements;
    }
    for (;;) {
      elements.push(this.value(depth));
      this.skipSpace();
      const next = this.#next();
      if (next !== ',' && next !== ']') this.#refuse('after array element');
      this.#at++;
      if (next === ']') return elements;
      this.skipSpace();
    }
  }

  #string(): string {
    this.#at++;
    const pieces: string[] = [];
    for (;;) {
      // oxlint-disable-next-line no-control-regex -- what JSON does not allow in a string
      const plain = /[^"\\\u0000-\u001f]*/y;
      plain.lastIndex = this.#at;
      const [piece] = plain.exec(this.#text)!;
      pieces.push(piece);
      this.#at += piece.length;
      const next = this.#next();
      if (next === '"') {
        this.#at++;
        return pieces.join('');
      }
      if (next !== '\\') this.#refuse('in string literal');
      this.#at++;
      pieces.push(this.#escape());
    }
  }

  #escape(): string {
    const kind = this.#next();
    const short = ESCAPES[kind];
    if (short === undefined && kind !== 'u') this.#refuse('in string escape code');
    this.#at++;
    if (short !== undefined) return short;
    let code = 0;
    for (let i = 0; i < 4; i++) {
      const digit = this.#next();
      if (!/[0-9a-f]/i.test(digit)) this.#refuse('in \\u hexadecimal character escape');
      code = code * 16 + Number.parseInt(digit, 16);
      this.#at++;
    }
    return String.fromCharCode(code);
  }

  #number(): JsonNumber {
    const from = this.#at;
    if (this.#next() === '-') this.#at++;
    if (!isDigit(this.#next())) this.#refuse('in numeric literal');
    if (this.#next() === '0') this.#at++;
    else this.#digits();
    if (this.#text[this.#at] === '.') {
      this.#at++;
      if (!isDigit(this.#next())) this.#refuse('after decimal point in numeric literal');
      this.#digits();
    }
    if (/[eE]/.test(this.#text.charAt(this.#at))) {
      this.#at++;
      if (/[+-]/.test(this.#next())) this.#at++;
      if (!isDigit(this.#next())) this.#refuse('in exponent of numeric literal');
      this.#digits();
    }
    return new JsonNumber(this.#text.slice(from, this.#at));
  }

  #digits(): void {
    while (isDigit(this.#text.charAt(this.#at))) this.#at++;
  }

  #literal<T>(word: string, value: T): T {
    for (const expected of word) {
      if (this.#next() !== expected) this.#refuse(`in literal ${word} (expecting '${expected}')`);
      this.#at++;
    }
    return value;
  }
}

function isDigit(char: string): boolean {
  return char >= '0' && char <= '9';
}

/** As Go quotes a byte that it did not expect: it looks at one byte of UTF-8 at a time. */
function quoted(code: number): string {
  const byte = code < 0x80 ? code : Buffer.from(String.fromCodePoint(code))[0]!;
  const short: Readonly<Record<number, string>> = {
    7: '\\a',
    8: '\\b',
    9: '\\t',
    10: '\\n',
    11: '\\v',
    12: '\\f',
    13: '\\r',
    39: "\\'",
    92: '\\\\',
  };
  if (short[byte] !== undefined) return `'${short[byte]}'`;
  if (byte < 0x20 || byte === 0x7f) return `'\\x${byte.toString(16).padStart(2, '0')}'`;
  if (byte >= 0x80 && byte < 0xa0) return `'\\u${byte.toString(16).padStart(4, '0')}'`;
  return `'${String.fromCharCode(byte)}'`;
}
