/** A promise with its two settle functions. Node 20 does not have `Promise.withResolvers`. */
export interface Deferred<T> {
  promise: Promise<T>;
  resolve(value: T): void;
  reject(reason: unknown): void;
}

/** An unhandled rejection is not an error here: callers can learn about the failure in other ways. */
export function deferred<T>(): Deferred<T> {
  const ends: Partial<Deferred<T>> = {};
  const promise = new Promise<T>((resolve, reject) => Object.assign(ends, { resolve, reject }));
  promise.catch(() => {});
  return Object.assign(ends as Deferred<T>, { promise });
}
