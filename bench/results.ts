/** What was measured, by MTU, measure and gateway; medians, spreads and the ratio to the best peer. */
import { MEASURES, type MeasureName } from './cells.ts';
import { OURS } from './gateways.ts';

/** The values of one gateway, one a round; NaN where it failed. */
export interface Summary {
  readonly values: readonly number[];
  /** A failure counts as the worst value there is; NaN when it is the median. */
  readonly median: number;
  /** Of the rounds that did not fail; NaN when none did. */
  readonly least: number;
  readonly most: number;
}

export interface Row {
  readonly mtu: number;
  readonly measure: MeasureName;
  readonly gateways: ReadonlyMap<string, Summary>;
  /** Ours to the best peer's, above 1 when ours is better; NaN without one. */
  readonly ratio: number;
}

export class Results {
  readonly #values: Map<string, Map<string, number[]>> = new Map();

  note(mtu: number, measure: MeasureName, gateway: string, value: number): void {
    const key = `${mtu} ${measure}`;
    const byGateway = this.#values.get(key) ?? new Map<string, number[]>();
    this.#values.set(key, byGateway);
    const values = byGateway.get(gateway) ?? [];
    byGateway.set(gateway, values);
    values.push(value);
  }

  /** By MTU, in the order of MEASURES. */
  rows(mtus: readonly number[]): Row[] {
    const measures = Object.keys(MEASURES) as MeasureName[];
    return mtus.flatMap((mtu) => measures.map((measure) => this.#row(mtu, measure)).filter((row) => row !== null));
  }

  #row(mtu: number, measure: MeasureName): Row | null {
    const byGateway = this.#values.get(`${mtu} ${measure}`);
    if (byGateway === undefined) return null;
    const { larger } = MEASURES[measure];
    const gateways = new Map([...byGateway].map(([name, values]) => [name, summarize(values, larger)]));
    return { mtu, measure, gateways, ratio: ratio(gateways, larger) };
  }
}

export function summarize(values: readonly number[], larger: boolean): Summary {
  const worst = larger ? -Infinity : Infinity;
  const sorted = values.map((value) => (Number.isNaN(value) ? worst : value)).sort((a, b) => a - b);
  const middle = (sorted[(sorted.length - 1) >> 1]! + sorted[sorted.length >> 1]!) / 2;
  const good = sorted.filter(Number.isFinite);
  return {
    values,
    median: Number.isFinite(middle) ? middle : NaN,
    least: good[0] ?? NaN,
    most: good.at(-1) ?? NaN,
  };
}

function ratio(gateways: ReadonlyMap<string, Summary>, larger: boolean): number {
  const ours = gateways.get(OURS)?.median ?? NaN;
  const peers = [...gateways].filter(([name, { median }]) => name !== OURS && median > 0).map(([, { median }]) => median);
  if (peers.length === 0) return NaN;
  return larger ? ours / Math.max(...peers) : Math.min(...peers) / ours;
}
