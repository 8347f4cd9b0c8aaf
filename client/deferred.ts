/** A promise with its two ends. `Promise.withResolvers` is younger than Node 20. */
export interface Deferred<T> {
  promise: Promise<T>;
  resolve(value: T): void;
  reject(reason: unknown): void;
}

/** Rejections that nobody listens to are no error: whoever cares has other ways to be told. */
export function deferred<T>(): Deferred<T> {
  const ends: Partial<Deferred<T>> = {};
  const promise = new Promise<T>((resolve, reject) => Object.assign(ends, { resolve, reject }));
  promise.catch(() => {});
  return Object.assign(ends as Deferred<T>, { promise });
}
