/** What a list of conversations shows of a session in memory, as the database's functions do it for durable ones. */

import { isTerminal, type LogEvent } from "../protocol/log_event.ts";

/** Longest titles and previews, in characters. */
export const MAX_TITLE_CHARS = 200;
const MAX_FIRST_TITLE_CHARS = 80;
const MAX_PREVIEW_CHARS = 200;
/** Of the questions of a session, those that a search looks at, in UTF-16 units. */
const MAX_ASKED_CHARS = 8192;
/** What stands between words. PostgreSQL's function `agent_split` has the same characters. */
const BETWEEN_WORDS = /[\s!-/:-@[-`{-\u00bf\u2000-\u206f\u3000-\u303f\ue0ff\uff00-\uff0f]+/u;

export class ConversationSummary {
  title = "";
  preview = "";
  isArchived = false;
  /** When the newest question or answer was committed; before the first, when the session was last written to. */
  lastActivity: number;
  #titledBy: "question" | "model" | "user" | undefined;
  #hasMessages = false;
  #asked = "";

  constructor(now: number) {
    this.lastActivity = now;
  }

  get isTitled(): boolean {
    return this.#titledBy === "model" || this.#titledBy === "user";
  }

  /** UTF-16 units that it keeps. */
  get chars(): number {
    return this.title.length + this.preview.length + this.#asked.length;
  }

  /** The session was written to. */
  touch(now: number): void {
    if (!this.#hasMessages) this.lastActivity = now;
  }

  /** A title that the user has set is replaced by the user only. */
  setTitle(title: string, by: "model" | "user"): void {
    if (by === "model" && this.#titledBy === "user") return;
    this.title = cutText(title, MAX_TITLE_CHARS);
    this.#titledBy = by;
  }

  /** All questions so far are superseded: the next one is the title, unless the user has set another. */
  forgetTitle(): void {
    if (this.#titledBy !== "user") this.#titledBy = undefined;
  }

  /** Takes in an event that is new in the log. */
  add(event: LogEvent): void {
    if (event.kind === "query") {
      this.isArchived = false;
      if (this.#titledBy === undefined) {
        this.title = cutText(event.content, MAX_FIRST_TITLE_CHARS);
        this.#titledBy = "question";
      }
      const room = MAX_ASKED_CHARS - this.#asked.length;
      // A copy: a slice would keep the whole question in memory for as long as the session is there.
      if (room > 0) this.#asked += `\n${[...event.content.slice(0, room)].join("")}`;
      this.#show(event.content, event.at);
    } else if (isTerminal(event)) {
      const isSuperseded = event.kind === "cancelled" && event.reason === "superseded";
      const text = event.kind === "response" ? event.content : isSuperseded ? "" : event.partial;
      if (text !== "") this.#show(text, event.at);
    }
  }

  /** Whether all words of the search are in the title and the questions, the last as the beginning of a word. */
  matches(search: string): boolean {
    const wanted = wordsOf(search);
    const last = wanted.pop();
    if (last === undefined) return false;
    const words = new Set([...wordsOf(this.title), ...wordsOf(this.#asked)]);
    return wanted.every((word) => words.has(word)) && [...words].some((word) => word.startsWith(last));
  }

  #show(text: string, at: number): void {
    this.preview = cutText(text, MAX_PREVIEW_CHARS);
    this.lastActivity = at;
    this.#hasMessages = true;
  }
}

/** A text on one line, of at most `max` characters; with an ellipsis if it was cut. */
export function cutText(text: string, max: number): string {
  // No more than it takes: an answer may be long.
  const line = [...text.slice(0, 2 * (2 * max + 100)).replace(/[\s\0]+/g, " ").trim()];
  return line.length > max ? `${line.slice(0, max - 1).join("").trimEnd()}…` : line.join("");
}

function wordsOf(text: string): string[] {
  return text.toLowerCase().split(BETWEEN_WORDS).filter((word) => word !== "");
}
