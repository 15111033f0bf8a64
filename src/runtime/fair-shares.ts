/**
 * Shares a limited amount among owners: nobody may hold more than is left for the others, or so many times as much.
 *
 * So an owner alone gets half, n that want all they can get end up with 1/(n+1) each, and whoever comes late finds something
 * as long as anything is left (the dynamic threshold of Choudhury and Hahne, 1998). With a `factor` of f it is f/(f+1) alone and
 * f/(1+nf) for each of n: more for one that is alone, less for those that come late.
 */
export class FairShares<Owner extends object> {
  readonly limit: number;
  /** Held by all owners together. */
  total = 0;
  readonly #held: Map<Owner, number> = new Map();

  readonly #factor: number;

  constructor(limit: number, factor = 1) {
    this.limit = limit;
    this.#factor = factor;
  }

  held(owner: Owner): number {
    return this.#held.get(owner) ?? 0;
  }

  /** Whether `owner` may take `amount`: it then holds no more than was left, times the factor. */
  allows(owner: Owner, amount = 1): boolean {
    const left = this.limit - this.total;
    return amount <= left && this.held(owner) + amount <= left * this.#factor;
  }

  /** False when that is more than its share. */
  take(owner: Owner, amount = 1): boolean {
    if (!this.allows(owner, amount)) return false;
    this.claim(owner, amount);
    return true;
  }

  /** Takes `amount` in any case: because `allows` said so, or because the donor has given as much. Throws beyond the limit. */
  claim(owner: Owner, amount = 1): void {
    if (this.total + amount > this.limit) throw new RangeError('the limit is reached');
    this.#held.set(owner, this.held(owner) + amount);
    this.total += amount;
  }

  /** Throws when `owner` doesn't hold as much. */
  give(owner: Owner, amount = 1): void {
    const held = this.held(owner) - amount;
    if (held < 0) throw new RangeError('the owner does not hold that much');
    if (held > 0) this.#held.set(owner, held);
    else this.#held.delete(owner);
    this.total -= amount;
  }

  /** Who should give something up so that `owner` may have more, where that can be done: who holds most. */
  donor(owner: Owner): Owner {
    let donor = owner;
    let most = this.held(owner);
    for (const [holder, held] of this.#held) {
      if (held <= most) continue;
      donor = holder;
      most = held;
    }
    return donor;
  }
}
