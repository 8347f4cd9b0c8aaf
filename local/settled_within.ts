/** Waiting that ends. */

/** Whether `work` has settled within `ms` milliseconds. Rejects as `work` does, if it does so in time. */
export async function settledWithin(ms: number, work: Promise<unknown> | undefined): Promise<boolean> {
  const { promise: tooLate, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => resolve(false), ms);
  try {
    return await Promise.race([Promise.resolve(work).then(() => true), tooLate]);
  } finally {
    clearTimeout(timer);
  }
}
