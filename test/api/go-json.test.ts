import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decode, listOf, TEXT } from '../../src/api/go-decode.ts';
import { JsonError, JsonNumber, JsonObject, type JsonValue, parseFirstValue } from '../../src/api/go-json.ts';

function fails(text: string, message: string): void {
  assert.throws(
    () => parseFirstValue(text),
    (error) => error instanceof JsonError && error.message === message,
    `${text} should fail with ${message}`,
  );
}

test('§13.2: what is no JSON is refused in the words of Go', () => {
  fails('', 'EOF');
  fails(' \r\n\t', 'EOF');
  fails('{', 'unexpected EOF');
  fails('{"a":1', 'unexpected EOF');
  fails('"abc', 'unexpected EOF');
  fails('tru', 'unexpected EOF');
  fails('x', "invalid character 'x' looking for beginning of value");
  fails('}', "invalid character '}' looking for beginning of value");
  fails('{"a":}', "invalid character '}' looking for beginning of value");
  fails("{'a':1}", "invalid character '\\'' looking for beginning of object key string");
  fails('{"a":1,}', "invalid character '}' looking for beginning of object key string");
  fails('{"a" 1}', "invalid character '1' after object key");
  fails('{"a":1 "b":2}', "invalid character '\"' after object key:value pair");
  fails('[1 2]', "invalid character '2' after array element");
  fails('[1,]', "invalid character ']' looking for beginning of value");
  fails('truth', "invalid character 't' in literal true (expecting 'e')");
  fails('nul!', "invalid character '!' in literal null (expecting 'l')");
  fails('"a\nb"', "invalid character '\\n' in string literal");
  fails('"\\x"', "invalid character 'x' in string escape code");
  fails('"\\u12g4"', "invalid character 'g' in \\u hexadecimal character escape");
  fails('-x', "invalid character 'x' in numeric literal");
  fails('1.x', "invalid character 'x' after decimal point in numeric literal");
  fails('1ex', "invalid character 'x' in exponent of numeric literal");
  fails('ä', "invalid character 'Ã' looking for beginning of value");
  fails('['.repeat(100_000), 'exceeded max depth');
});

test('§13.2: only the first value is read', () => {
  assert.equal(parseFirstValue('"a" and more'), 'a');
  assert.equal(parseFirstValue('true}'), true);
  assert.deepEqual(parseFirstValue(' { \n} x'), new JsonObject([]));
  assert.deepEqual(parseFirstValue('[\t] x'), []);
  assert.deepEqual(parseFirstValue('[1][2]'), [new JsonNumber('1')]);
});

/** As JSON.parse has it. */
function plain(value: JsonValue): unknown {
  if (value instanceof JsonNumber) return Number(value.text);
  if (value instanceof JsonObject) return Object.fromEntries(value.members.map(([name, member]) => [name, plain(member)]));
  return Array.isArray(value) ? (value as JsonValue[]).map(plain) : value;
}

test('whatever is JSON is read as JSON.parse reads it', () => {
  fc.assert(
    fc.property(fc.json(), fc.constantFrom('', ' ', '\n{', ' x'), (text, behind) => {
      assert.deepEqual(plain(parseFirstValue(` ${text}${behind}`)), JSON.parse(text));
    }),
  );
});

test('no text makes the reader fail in another way than with a JsonError', () => {
  const pieces = fc.array(
    fc.constantFrom('{', '}', '[', ']', ',', ':', '"', '"a"', '\\', 'u00e4', 'true', 'nul', '-', '1', '.5', 'e9', ' '),
    { maxLength: 30 },
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        pieces.map((list) => list.join('')),
      ),
      (text) => {
        try {
          parseFirstValue(text);
        } catch (error) {
          assert.ok(error instanceof JsonError, String(error));
        }
      },
    ),
  );
});

interface Zone {
  readonly Name: string;
  readonly Records: readonly { readonly Name: string }[];
}

function zone(text: string): Zone {
  return decode<Zone>(parseFirstValue(text), 'types.Zone', {
    Name: TEXT,
    Records: listOf<{ Name: string }>('types.Record', { Name: TEXT }),
  });
}

test('§13.2: names of fields in any case are taken, unknown ones ignored, and the last of a name counts', () => {
  assert.deepEqual(zone('{"NAME":"a","other":[{}],"records":[{"name":"b"}]}'), { Name: 'a', Records: [{ Name: 'b' }] });
  assert.equal(zone('{"Name":"a","name":"b"}').Name, 'b');
  assert.deepEqual(zone('{"Name":null}'), { Name: '', Records: [] });
  assert.deepEqual(zone('null'), { Name: '', Records: [] });
});

test('§13.2: a value of another kind is refused with the name of the field', () => {
  const fault = (text: string, message: string): void => assert.throws(() => zone(text), { message });
  fault('[]', 'json: cannot unmarshal array into Go value of type types.Zone');
  fault('"x"', 'json: cannot unmarshal string into Go value of type types.Zone');
  fault('{"name":1}', 'json: cannot unmarshal number into Go struct field Zone.Name of type string');
  fault('{"Name":true}', 'json: cannot unmarshal bool into Go struct field Zone.Name of type string');
  fault('{"Records":{}}', 'json: cannot unmarshal object into Go struct field Zone.Records of type []types.Record');
  fault('{"Records":[{"Name":[]}]}', 'json: cannot unmarshal array into Go struct field Zone.Records.Name of type string');
  fault('{"Records":["x"]}', 'json: cannot unmarshal string into Go struct field Zone.Records of type types.Record');
});
