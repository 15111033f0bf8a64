/** What was measured, by MTU, measure and contestant; medians, spreads, and the ratio of one to the others. */
import { MEASURES, type MeasureName } from './cells.ts';

/** The values of one contestant, one a round; NaN where it failed. */
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
  /** What one's is of the best of the others', above 1 when it is better; NaN without another. */
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

  /**
   * By MTU, in the order of MEASURES. Ratios are of `subject` to the best of the others: of the medians or, `paired`, the median of
   * each round's own, which a machine that changes between rounds doesn't change.
   */
  rows(mtus: readonly number[], subject: string, paired = false): Row[] {
    const measures = Object.keys(MEASURES) as MeasureName[];
    return mtus.flatMap((mtu) => measures.map((measure) => this.#row(mtu, measure, subject, paired)).filter((row) => row !== null));
  }

  #row(mtu: number, measure: MeasureName, subject: string, paired: boolean): Row | null {
    const byGateway = this.#values.get(`${mtu} ${measure}`);
    if (byGateway === undefined) return null;
    const { larger } = MEASURES[measure];
    const gateways = new Map([...byGateway].map(([name, values]) => [name, summarize(values, larger)]));
    const compared = paired ? pairedRatio(gateways, subject, larger) : ratio(gateways, subject, larger, ({ median }) => median);
    return { mtu, measure, gateways, ratio: compared };
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

type Value = (summary: Summary) => number;

/** A round in which either failed counts as the worst. */
function pairedRatio(gateways: ReadonlyMap<string, Summary>, subject: string, larger: boolean): number {
  const rounds = gateways.get(subject)?.values ?? [];
  const each = rounds.map((_, round) => ratio(gateways, subject, larger, ({ values }) => values[round] ?? NaN));
  return summarize(each, true).median;
}

function ratio(gateways: ReadonlyMap<string, Summary>, subject: string, larger: boolean, of: Value): number {
  const own = [...gateways].filter(([name]) => name === subject).map(([, summary]) => of(summary));
  const others = [...gateways].filter(([name]) => name !== subject).map(([, summary]) => of(summary));
  const best = others.filter((value) => value > 0);
  if (best.length === 0 || own.length === 0) return NaN;
  return larger ? own[0]! / Math.max(...best) : Math.min(...best) / own[0]!;
}
