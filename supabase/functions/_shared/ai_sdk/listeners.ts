/** How many requests listen to each turn, on all sockets of this worker. */
export class Listeners {
  readonly #counts = new Map<string, number>();

  has(turnId: string): boolean {
    return this.#counts.has(turnId);
  }

  add(turnId: string): void {
    this.#counts.set(turnId, (this.#counts.get(turnId) ?? 0) + 1);
  }

  remove(turnId: string): void {
    const left = (this.#counts.get(turnId) ?? 0) - 1;
    if (left > 0) this.#counts.set(turnId, left);
    else this.#counts.delete(turnId);
  }
}
