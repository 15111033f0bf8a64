/**
 * Shares a limited amount among owners: nobody may hold more than is left for the others.
 *
 * So an owner alone gets half, n that want all they can get end up with 1/(n+1) each, and whoever comes late still finds
 * something (the dynamic threshold of Choudhury and Hahne, 1998).
 */
export class FairShares {
  readonly limit: number;
  /** Held by all owners together. */
  total = 0;
  readonly #held: Map<object, number> = new Map();

  constructor(limit: number) {
    this.limit = limit;
  }

  held(owner: object): number {
    return this.#held.get(owner) ?? 0;
  }

  /** False when `owner` would hold more than is left. */
  take(owner: object, amount: number): boolean {
    const held = this.held(owner) + amount;
    if (held > this.limit - this.total - amount) return false;
    this.#held.set(owner, held);
    this.total += amount;
    return true;
  }

  /** Throws when `owner` doesn't hold as much. */
  give(owner: object, amount: number): void {
    const held = this.held(owner) - amount;
    if (held < 0) throw new RangeError('the owner does not hold that much');
    if (held > 0) this.#held.set(owner, held);
    else this.#held.delete(owner);
    this.total -= amount;
  }
}
