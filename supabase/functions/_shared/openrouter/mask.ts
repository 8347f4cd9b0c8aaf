/** Makes what a provider said fit for the log. */

import { MASK, maskSecrets } from "../secrets.ts";

/** Longest piece of a provider's words in a log line, in characters. */
export const MAX_DETAIL_CHARS = 2000;
/** How much of it is looked at: an event may have a megabyte. */
const LOOKED_AT_CHARS = 8192;

/** `text` without `apiKey` and anything that looks like a key, at most {@linkcode MAX_DETAIL_CHARS} long. */
export function mask(text: string, apiKey: string | undefined): string {
  const start = text.slice(0, LOOKED_AT_CHARS);
  const masked = maskSecrets(apiKey ? start.replaceAll(apiKey, MASK) : start);
  return masked.length > MAX_DETAIL_CHARS ? `${masked.slice(0, MAX_DETAIL_CHARS)}…` : masked;
}

/** Anything thrown, in one line: the reasons of a network failure are in its causes. */
export function describe(thrown: unknown): string {
  const parts: string[] = [];
  for (let next = thrown; next !== undefined && parts.length < 4;) {
    parts.push(next instanceof Error ? next.message : String(next));
    next = next instanceof Error ? next.cause : undefined;
  }
  return parts.join(": ");
}
