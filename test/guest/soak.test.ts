import assert from 'node:assert/strict';
import { test } from 'node:test';
import { missing } from './requirement.ts';
import { soak, SOAK_NEEDS, verdicts } from './soak.ts';

const skip = missing(...SOAK_NEEDS);

test('a minute of mixed traffic loses nothing and leaves nothing behind', { skip, timeout: 180_000 }, async (t) => {
  const result = await soak({ seconds: 45, lifetime: 8, log: (line) => t.diagnostic(line) });
  assert.deepEqual(verdicts(result), []);
});
