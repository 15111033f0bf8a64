/** Counters as data: what an engine counts stands in plain fields of an object of its own. */

export interface CounterTree {
  readonly [name: string]: number | CounterTree;
}

/** Groups within groups; deeper ones are no counters. */
const DEPTH = 4;

/** The numbers of an object and of the objects in it. */
export function counterTree(source: object, depth: number = DEPTH): CounterTree {
  const tree: Record<string, number | CounterTree> = {};
  for (const [name, value] of Object.entries(source) as [string, unknown][]) {
    if (typeof value === 'number') tree[name] = value;
    else if (typeof value === 'object' && value !== null && depth > 1) tree[name] = counterTree(value, depth - 1);
  }
  return tree;
}

/** Calls `visit` for every counter of things that were dropped, by its path, such as `tcp.dropMalformed`. */
export function forEachDrop(tree: CounterTree, visit: (path: string, value: number) => void, prefix = ''): void {
  for (const [name, value] of Object.entries(tree)) {
    if (typeof value !== 'number') forEachDrop(value, visit, `${prefix}${name}.`);
    else if (/^drop(?![a-z])|Dropped$/.test(name)) visit(prefix + name, value);
  }
}
