/**
 * Mermaid as these pages use it: flowcharts and sequence diagrams. What GitHub can't draw it shows as an error in a red box, and what it would take for
 * something else (brackets in a label without quotes) it draws wrongly.
 */
import assert from 'node:assert/strict';

const ID = String.raw`[A-Za-z]\w*`;
/** A node, with its label where it is made: `a`, `a[text]`, `a["any text"]`. */
const NODE = String.raw`${ID}(?:\["[^"]+"\]|\[[^"[\](){}|]+\])?`;
const EDGE = String.raw`(?:-->|---|<-->|-\.->|-- "[^"]+" -->)`;
const FLOWCHART: readonly RegExp[] = [
  new RegExp(`^${NODE}$`),
  new RegExp(`^${NODE}(?: ${EDGE} ${NODE})+$`),
  new RegExp(String.raw`^subgraph ${ID}(?:\["[^"]+"\])?$`),
  /^end$/,
];
const SEQUENCE: readonly RegExp[] = [
  new RegExp(`^participant (${ID}) as [^;#]+$`),
  new RegExp(`^(${ID})-?->>(${ID}): [^;#]+$`),
  new RegExp(`^Note (?:over|left of|right of) (${ID})(?:,(${ID}))?: [^;#]+$`),
  /^(?:loop|opt|alt|else) [^;#]+$/,
  /^end$/,
];

/** Throws AssertionError for what GitHub might not draw. */
export function checkMermaid(text: string): void {
  const [head, ...lines] = text.split('\n').map((line) => line.trim());
  const isFlowchart = /^flowchart (?:LR|TD)$/.test(head!);
  assert.ok(isFlowchart || head === 'sequenceDiagram', `no picture begins with ${head}`);
  let open = 0;
  const participants = new Set<string>();
  for (const line of lines.filter((each) => each !== '')) {
    const match = (isFlowchart ? FLOWCHART : SEQUENCE).map((form) => form.exec(line)).find((found) => found !== null);
    assert.ok(match, `what is this: ${line}`);
    if (/^(?:subgraph|loop|opt|alt) /.test(line)) open++;
    if (line === 'end') assert.ok(--open >= 0, 'an end too many');
    const [, ...named] = match;
    if (line.startsWith('participant ')) participants.add(named[0]!);
    else for (const name of named) assert.ok(name === undefined || participants.has(name), `${name} takes no part: ${line}`);
  }
  assert.equal(open, 0, 'an end is missing');
}
