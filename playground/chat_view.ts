/** The conversation: its turns, in the order of the session. */

import type { AgentClient, Turn } from "../client/mod.ts";
import { button, find } from "./dom.ts";
import { TurnView } from "./turn_view.ts";

/** If the log is scrolled this near to its end, it stays at the end when it grows. */
const NEAR_END_PX = 80;

export class ChatView {
  readonly #log = find("log", HTMLElement);
  readonly #welcome = find("welcome", HTMLElement);
  #client: AgentClient | undefined;
  #views = new Map<Turn, TurnView>();
  #isAtEnd = true;
  /** Turns up to this place in the log existed before the page was loaded. */
  #historyUpTo = 0;

  constructor(suggestions: readonly string[], ask: (question: string) => void) {
    find("suggestions", HTMLElement).append(
      ...suggestions.map((words) => button(words, {}, () => ask(words))),
    );
    this.#log.addEventListener("scroll", () => {
      const { scrollHeight, scrollTop, clientHeight } = this.#log;
      this.#isAtEnd = scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
    });
  }

  /** Shows another session. */
  reset(client: AgentClient): void {
    this.#client = client;
    for (const { element } of this.#views.values()) element.remove();
    this.#views = new Map();
    this.#welcome.hidden = false;
    this.#isAtEnd = true;
    this.#historyUpTo = 0;
  }

  /** The first connection is ready, and the session had this many events. */
  historyUpTo(seq: number): void {
    this.#historyUpTo = seq;
  }

  turn(turn: Turn): void {
    const view = this.#views.get(turn);
    if (view !== undefined) return view.update();
    this.#welcome.hidden = true;
    const isHistory = !turn.isMine && (this.#client?.session?.lastSeq ?? 0) <= this.#historyUpTo;
    const made = new TurnView({
      turn,
      isHistory,
      isFromElsewhere: !turn.isMine && !isHistory,
      feedback: (given) => this.#client?.feedback(given) ?? Promise.reject(new Error("Not connected")),
      onDraw: () => this.#scroll(),
    });
    this.#views.set(turn, made);
    this.#log.append(made.element);
    // A user who asks wants to see the answer.
    if (turn.isMine) this.#isAtEnd = true;
    this.#scroll();
  }

  /** After a reload the client knows its unanswered queries before it receives the earlier events. */
  message(): void {
    const turns = [...this.#views.keys()];
    const sorted = this.#client?.turns.filter((turn) => this.#views.has(turn)) ?? [];
    if (sorted.length < turns.length || sorted.every((turn, at) => turn === turns[at])) return;
    this.#views = new Map(sorted.flatMap((turn) => {
      const view = this.#views.get(turn);
      return view === undefined ? [] : [[turn, view]];
    }));
    this.#log.append(...[...this.#views.values()].map(({ element }) => element));
  }

  lost(): void {
    for (const view of this.#views.values()) view.cut();
  }

  back(): void {
    for (const view of this.#views.values()) view.mend();
  }

  #scroll(): void {
    if (this.#isAtEnd) this.#log.scrollTop = this.#log.scrollHeight;
  }
}
