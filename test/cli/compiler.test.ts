import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';

const FLAGS = ['--allow-natives-syntax', '--no-concurrent-recompilation', '--no-use-osr', '--input-type=module'];
const COMPILER = new URL('../../src/cli/compiler.js', import.meta.url).href;

/** How often a function has been called when V8 has optimized it; bit 4 of its status says so. */
const PROGRAM = `
import { compileSooner } from '${COMPILER}';
Object.defineProperty(process.versions, 'v8', { value: '11.3' });
if (process.argv.includes('sooner')) compileSooner();
function work(from) {
  let sum = from;
  for (let i = 0; i < 10; i++) sum = (sum + (sum >> 3) + i) | 0;
  return sum;
}
let calls = 0;
while ((%GetOptimizationStatus(work) & 16) === 0 && calls < 1_000_000) work(calls++);
console.log(calls);`;

function calls(...words: string[]): number {
  return Number(execFileSync(process.execPath, [...FLAGS, '-e', PROGRAM, ...words], { encoding: 'utf8' }));
}

test('programs have their functions optimized after half as many calls', () => {
  const usual = calls();
  const sooner = calls('sooner');
  assert.ok(usual > 100 && sooner > 10, `${usual}, ${sooner}`);
  assert.ok(sooner < usual * 0.7, `${sooner} calls, ${usual} without`);
});
