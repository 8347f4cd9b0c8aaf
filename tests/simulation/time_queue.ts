/** Tasks ordered by time; of two tasks due at the same time, the older comes first. A binary heap. */
export class TimeQueue<T> {
  readonly #heap: { at: number; order: number; task: T }[] = [];
  #order = 0;

  /** When the next task is due; Infinity if there is none. */
  get nextAt(): number {
    return this.#heap[0]?.at ?? Infinity;
  }

  add(at: number, task: T): void {
    const heap = this.#heap;
    heap.push({ at, order: this.#order++, task });
    for (let child = heap.length - 1; child > 0;) {
      const parent = (child - 1) >> 1;
      if (!this.#isBefore(child, parent)) return;
      this.#swap(child, parent);
      child = parent;
    }
  }

  /** Removes and returns the next task; undefined if there is none. */
  take(): T | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first?.task;
    heap[0] = last;
    for (let parent = 0;;) {
      const left = 2 * parent + 1;
      let next = parent;
      if (left < heap.length && this.#isBefore(left, next)) next = left;
      if (left + 1 < heap.length && this.#isBefore(left + 1, next)) next = left + 1;
      if (next === parent) return first.task;
      this.#swap(parent, next);
      parent = next;
    }
  }

  #isBefore(a: number, b: number): boolean {
    const one = this.#heap[a];
    const other = this.#heap[b];
    if (one === undefined || other === undefined) return false;
    return one.at < other.at || (one.at === other.at && one.order < other.order);
  }

  #swap(a: number, b: number): void {
    const one = this.#heap[a];
    const other = this.#heap[b];
    if (one === undefined || other === undefined) return;
    this.#heap[a] = other;
    this.#heap[b] = one;
  }
}
