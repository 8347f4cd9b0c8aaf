/** A promise with its two ends. `Promise.withResolvers` is younger than Node 20. */
export interface Deferred<T> {
  promise: Promise<T>;
  resolve(value: T): void;
  reject(reason: unknown): void;
}

/** An unhandled rejection is no error here: callers can learn of the failure in other ways. */
export function deferred<T>(): Deferred<T> {
  const ends: Partial<Deferred<T>> = {};
  const promise = new Promise<T>((resolve, reject) => Object.assign(ends, { resolve, reject }));
  promise.catch(() => {});
  return Object.assign(ends as Deferred<T>, { promise });
}
