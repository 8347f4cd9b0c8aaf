/** The state of the connection, and what happened to the session after a reconnect. */

import type { AgentClient, Closing, Opened } from "../client/mod.ts";
import { announce } from "./announcer.ts";
import { find, setText } from "./dom.ts";

const WORDS: Readonly<Record<AgentClient["status"], string>> = {
  idle: "Not connected",
  connecting: "Connecting",
  open: "Connected",
  reconnecting: "Reconnecting",
  closed: "Disconnected",
};

type Tone = "good" | "warn" | "bad";

export class ConnectionView {
  readonly #bar = find("connection", HTMLElement);
  readonly #verdict = find("verdict", HTMLElement);
  #lostAt: number | undefined;
  #attempts = 0;

  draw({ status, session }: AgentClient): void {
    this.#bar.dataset.status = status;
    setText(
      find("connection-words", HTMLElement),
      WORDS[status] + (this.#attempts > 1 ? `, attempt ${this.#attempts}` : ""),
    );
    const words = session &&
      `${session.id.slice(0, 8)}, ${session.durable ? "durable" : "in memory"}, seq ${session.lastSeq}`;
    setText(find("connection-session", HTMLElement), words ?? "");
  }

  /** The user switched to another session. */
  reset(): void {
    this.#lostAt = undefined;
    this.#attempts = 0;
    this.#verdict.hidden = true;
  }

  opened({ resumed }: Opened, isFirst: boolean): void {
    const away = this.#lostAt === undefined
      ? ""
      : ` after ${((Date.now() - this.#lostAt) / 1000).toFixed(1)} s`;
    this.#lostAt = undefined;
    this.#attempts = 0;
    if (resumed === undefined) return;
    const { from_seq: from, to_seq: to, recovered, reason } = resumed;
    const events = to < from
      ? "no event was missed"
      : from === to
      ? `event ${to} was replayed`
      : `events ${from} to ${to} were replayed`;
    if (recovered) {
      this.#say("good", `${isFirst ? "Session restored" : `Resumed${away}`}: ${events}, nothing is lost.`);
    } else if (reason === "unknown_session") {
      this.#say("bad", "The session is gone: this is a fresh one. What had no answer is asked again.");
    } else {
      this.#say("warn", `Resumed${away}, with a gap: ${events}, earlier ones are no longer kept.`);
    }
  }

  lost({ code, attempt }: Closing & { attempt: number }): void {
    this.#attempts = attempt;
    if (this.#lostAt !== undefined) return;
    this.#lostAt = Date.now();
    const what = code === 1012 ? "The worker is being replaced" : `The connection was lost (${code})`;
    this.#say("warn", `${what}. Reconnecting…`);
  }

  /** The server has closed the connection because it was not used. */
  paused(isDurable: boolean): void {
    const next = isDurable ? "continues this conversation" : "begins a new one";
    this.#say("warn", `Paused: the conversation was not used for a while. Your next question ${next}.`);
  }

  closed({ code, reason }: Closing): void {
    this.#lostAt = undefined;
    this.#attempts = 0;
    this.#say("bad", `Closed: ${reason || "no reason given"} (${code}).`);
  }

  #say(tone: Tone, words: string): void {
    this.#verdict.hidden = false;
    this.#verdict.dataset.tone = tone;
    setText(this.#verdict, words);
    announce(words);
  }
}
