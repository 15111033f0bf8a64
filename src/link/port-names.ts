/** What listings call the VMs of one link: they tell VMs apart where the peer's address doesn't. */
export class PortNames {
  readonly #given: string | undefined;
  readonly #taken: Set<string> = new Set();

  /** `given`: the name of the first VM; those that come while it is taken have `-2`, `-3` … behind it. */
  constructor(given?: string) {
    this.#given = given;
  }

  /** `peer` is the other end's address: `@`, as Go prints it, for a unix socket without a name; then the port's `id` stands behind it. */
  take(peer: string, id: number): string {
    if (this.#given === undefined) return peer === '@' ? `@${id}` : peer;
    let name = this.#given;
    for (let i = 2; this.#taken.has(name); i++) name = `${this.#given}-${i}`;
    this.#taken.add(name);
    return name;
  }

  /** Its VM has gone. */
  giveBack(name: string): void {
    this.#taken.delete(name);
  }
}
