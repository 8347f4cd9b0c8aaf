/** Closes a socket in a way that its peer can see why, though it is still sending. */

import type { Clock } from "../ports/runtime.ts";
import { CLOSE } from "../protocol/close_codes.ts";

/**
 * A close while frames of the client are unread reaches it as 1006, without a code. So we read on without listening
 * until the client has been quiet long enough, or its time is up. A client on a busy machine may pause while it sends.
 */
const QUIET_MS = 250;
const MAX_LINGER_MS = 2000;

export interface QuietCloseOptions {
  /** Why: only clients that send too much are still sending. */
  code: number;
  clock: Clock;
  /** When the client was last heard, in milliseconds since the epoch. */
  heardAt(): number;
  /** Whether the socket is gone already. */
  isGone(): boolean;
  close(): void;
}

/** Calls `close` once: at once, or as soon as a client that is still sending is quiet, unless the socket is gone before. */
export function closeWhenQuiet({ code, clock, heardAt, isGone, close }: QuietCloseOptions): void {
  if (code !== CLOSE.rateLimitAbused.code && code !== CLOSE.frameTooLarge.code) return close();
  const since = clock.now();
  const look = (): void => {
    if (isGone()) return;
    const now = clock.now();
    const leftMs = Math.min(heardAt() + QUIET_MS, since + MAX_LINGER_MS) - now;
    if (leftMs <= 0) close();
    else clock.after(leftMs, look);
  };
  clock.after(QUIET_MS, look);
}
