/** Milliseconds since the epoch, as the `timestamp` of a frame. */
export function stamp(at: number): string {
  return new Date(at).toISOString();
}
