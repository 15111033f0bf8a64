import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type SpecData, Validator } from '@seriousme/openapi-schema-validator';
import { isWrite } from '../../../src/api/v1/access.ts';
import { ERRORS } from '../../../src/api/v1/errors.ts';
import { EVENT_KINDS } from '../../../src/api/v1/event-hub.ts';
import { createWorld } from './world.ts';

interface Schema {
  readonly $ref?: string;
  readonly enum?: readonly string[];
  readonly properties?: Record<string, Schema>;
}

interface Operation {
  readonly 'x-access': string;
  readonly summary: string;
  readonly responses: Record<string, { description: string; content?: Record<string, { schema: Schema }> }>;
}

interface Document {
  readonly openapi: string;
  readonly paths: Record<string, Record<string, Operation>>;
  readonly components: { schemas: Record<string, Schema> };
}

test('the document is OpenAPI 3.1, and whole', async (t) => {
  const { ask } = await createWorld(t);
  const { body, headers } = await ask('GET', '/v1/openapi.json');
  assert.equal(headers.get('content-type'), 'application/json');
  const document = body as Document;
  const { valid, errors } = await new Validator().validate(structuredClone(body) as SpecData);
  assert.ok(valid, JSON.stringify(errors));
  assert.equal(document.openapi, '3.1.0');
  assert.deepEqual(Object.keys(document.paths).toSorted(), [
    '/v1/',
    '/v1/capture',
    '/v1/connect',
    '/v1/counters',
    '/v1/dns/zones',
    '/v1/dns/zones/{zone}',
    '/v1/dns/zones/{zone}/records',
    '/v1/dns/zones/{zone}/records/{record}',
    '/v1/events',
    '/v1/flows',
    '/v1/flows/{id}',
    '/v1/forwards',
    '/v1/forwards/{protocol}/{local}',
    '/v1/leases',
    '/v1/openapi.json',
    '/v1/ports',
    '/v1/stations',
  ]);
  const references = [...JSON.stringify(document).matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)].map(([, name]) => name!);
  assert.ok(references.length > 10);
  assert.deepEqual(
    references.filter((name) => document.components.schemas[name] === undefined),
    [],
  );
  assert.deepEqual(Object.keys(document.components.schemas['Events']!.properties!).toSorted(), [...EVENT_KINDS, 'lost'].toSorted());
});

test('each operation is marked as the server in front takes it, and names its errors', async (t) => {
  const { ask } = await createWorld(t);
  const { paths, components } = (await ask('GET', '/v1/openapi.json')).body as Document;
  assert.deepEqual(
    components.schemas['Error']!.properties!['error']!.properties!['code']!.enum!.toSorted(),
    Object.keys(ERRORS).toSorted(),
  );
  const marks: string[] = [];
  for (const [path, operations] of Object.entries(paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      assert.equal(operation['x-access'], isWrite(method) ? 'write' : 'read');
      assert.equal(operation['x-access'] === 'read', method === 'get', path);
      marks.push(operation['x-access']);
      for (const [status, { description }] of Object.entries(operation.responses)) {
        if (Number(status) < 400) continue;
        for (const code of description.split(', '))
          assert.equal(ERRORS[code as keyof typeof ERRORS].status, Number(status), `${method} ${path}: ${code}`);
      }
    }
  }
  assert.equal(marks.filter((mark) => mark === 'write').length, 8);
});

test('every error has a status that fits, and advice', () => {
  for (const [code, { status, advice }] of Object.entries(ERRORS)) {
    assert.match(code, /^[a-z]+(?:-[a-z]+)*$/);
    assert.ok(status >= 400 && status < 600);
    assert.match(advice, /^[A-Z].*\.$/);
  }
});

test('reading methods are told from those that change something, in any case', () => {
  assert.deepEqual(['GET', 'HEAD', 'OPTIONS', 'get'].map(isWrite), [false, false, false, false]);
  assert.deepEqual(['POST', 'PUT', 'DELETE', 'PATCH', 'delete', 'CONNECT', 'BREW', ''].map(isWrite), [
    true,
    true,
    true,
    true,
    true,
    true,
    true,
    true,
  ]);
});
