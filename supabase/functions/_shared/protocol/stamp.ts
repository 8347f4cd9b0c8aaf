/** The second of the newest stamp, since the epoch, and how its stamps begin. */
let second = NaN;
let start = "";

/**
 * Milliseconds since the epoch, as the `timestamp` of a frame. As `toISOString`, which takes several times as long:
 * every delta has a stamp, and most are of the same second. Throws a `RangeError` if it is no time.
 */
export function stamp(at: number): string {
  const ms = Math.trunc(at);
  const current = Math.floor(ms / 1000);
  if (current !== second) {
    start = new Date(current * 1000).toISOString().slice(0, -"000Z".length);
    second = current;
  }
  return `${start}${String(ms - current * 1000).padStart(3, "0")}Z`;
}
