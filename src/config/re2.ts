/** RE2 expressions, which gvproxy's DNS records are written in: read as Go reads them, searched in linear time whatever the name. */
import { RE2JS } from 're2js';
import type { NamePattern } from '../network-options.ts';

/** A record's expression, unanchored as RE2's are (contract §3.2). Throws re2js's error, whose message is Go's. */
export function compileRe2(text: string): NamePattern {
  const expression = RE2JS.compile(text);
  return {
    source: text,
    [Symbol.search](name: string): number {
      const matcher = expression.matcher(name);
      return matcher.find() ? matcher.start() : -1;
    },
  };
}

/** What is wrong with an expression: `error parsing regexp: missing closing ]: …`. Undefined when nothing is. */
export function re2Fault(text: string): string | undefined {
  try {
    RE2JS.compile(text);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}
