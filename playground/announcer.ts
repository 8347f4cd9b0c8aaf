/** Announcements for screen readers: short, only when something has ended, never while it runs. */

import { find } from "./dom.ts";

const MAX_CHARS = 600;

export function announce(words: string): void {
  const announcer = find("announcer", HTMLElement);
  announcer.textContent = words.length > MAX_CHARS ? `${words.slice(0, MAX_CHARS)} …` : words;
}
