/** The conversation: its turns, in the order of the session. Of a long one, the newest are drawn first. */

import type { AgentClient, ToolCall, Turn } from "../client/tools.ts";
import { button, coalesced, find, setText } from "./dom.ts";
import type { Decision } from "./call_view.ts";
import { TurnView } from "./turn_view.ts";

/** If the log is scrolled this near to its end, it stays at the end when it grows. */
const NEAR_END_PX = 80;
/** How many turns are drawn at first, and with each click on "Show earlier". */
const PAGE = 30;

export interface ChatViewOptions {
  suggestions: readonly string[];
  ask(question: string): void;
  /** Asks `question` in the place of an earlier turn and of all that came after it. */
  replace(turn: Turn, question: string): void;
}

export class ChatView {
  readonly #options: ChatViewOptions;
  readonly #log = find("log", HTMLElement);
  readonly #welcome = find("welcome", HTMLElement);
  readonly #earlier = find("earlier", HTMLButtonElement);
  readonly #draw = coalesced(() => this.#drawNow());
  readonly #views = new Map<Turn, TurnView>();
  /** Views whose content has changed. */
  readonly #changed = new Set<TurnView>();
  /** Whether each turn existed before the page was loaded. */
  #isHistory = new WeakMap<Turn, boolean>();
  #client: AgentClient | undefined;
  /** Whether an empty log is certainly empty, and not still to come. */
  #mayWelcome = true;
  #isAtEnd = true;
  /** How many of the newest turns are drawn at least. */
  #wanted = PAGE;
  /** Turns up to this place in the log existed before the page was loaded. */
  #historyUpTo = 0;

  constructor(options: ChatViewOptions) {
    this.#options = options;
    find("suggestions", HTMLElement).append(
      ...options.suggestions.map((words) => button(words, {}, () => options.ask(words))),
    );
    this.#log.addEventListener("scroll", () => {
      const { scrollHeight, scrollTop, clientHeight } = this.#log;
      this.#isAtEnd = scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
    });
    // Less room, for example because the list of conversations was opened, must not hide the end.
    new ResizeObserver(() => this.#scroll()).observe(this.#log);
    this.#earlier.addEventListener("click", () => this.#showEarlier());
  }

  /** Shows another session. `isNew`: it begins now. */
  reset(client: AgentClient, isNew: boolean): void {
    this.#client = client;
    for (const { element } of this.#views.values()) element.remove();
    this.#views.clear();
    this.#changed.clear();
    this.#isHistory = new WeakMap();
    this.#mayWelcome = isNew;
    this.#isAtEnd = true;
    this.#wanted = PAGE;
    this.#historyUpTo = 0;
    this.#drawNow();
  }

  /** The first connection is ready, and the session had this many events. */
  historyUpTo(seq: number): void {
    this.#historyUpTo = seq;
    this.#mayWelcome = true;
    this.#draw();
  }

  turn(turn: Turn): void {
    const isKnown = this.#isHistory.has(turn);
    if (!isKnown) {
      const isHistory = !turn.isMine && (this.#client?.session?.lastSeq ?? 0) <= this.#historyUpTo;
      this.#isHistory.set(turn, isHistory);
    }
    const view = this.#views.get(turn);
    view?.update();
    if (view !== undefined) this.#changed.add(view);
    if (isKnown || !turn.isMine) return this.#draw();
    // A user who asks wants to see the answer.
    this.#isAtEnd = true;
    this.#drawNow();
  }

  call({ turnId }: ToolCall): void {
    for (const [turn, view] of this.#views) if (turn.turnId === turnId) this.#changed.add(view);
    this.#draw();
  }

  /** An event has come: the replay may be complete, and the turns may be in another order. */
  message(): void {
    this.#draw();
  }

  lost(): void {
    for (const view of this.#views.values()) view.cut();
    this.#draw();
  }

  back(): void {
    for (const view of this.#views.values()) view.mend();
  }

  /** During the replay nothing is drawn: it begins with the oldest turns, and the newest are to be seen first. */
  get #isCatchingUp(): boolean {
    const { status, session } = this.#client ?? {};
    return status === "open" && (session?.lastSeq ?? 0) < this.#historyUpTo;
  }

  #drawNow(): void {
    if (this.#client === undefined || this.#isCatchingUp) return;
    const { turns } = this.#client;
    // Turns that are drawn stay, however many follow.
    const drawn = turns.findIndex((turn) => this.#views.has(turn));
    const latest = Math.max(0, turns.length - this.#wanted);
    const from = drawn < 0 ? latest : Math.min(drawn, latest);
    this.#place(turns.slice(from));
    this.#earlier.hidden = from === 0;
    setText(this.#earlier, `Show earlier questions (${from})`);
    this.#welcome.hidden = turns.length > 0 || !this.#mayWelcome;
    for (const view of this.#changed) view.draw();
    this.#changed.clear();
    this.#scroll();
  }

  #scroll(): void {
    if (this.#isAtEnd) this.#log.scrollTop = this.#log.scrollHeight;
  }

  /** Makes these turns the ones on the page. */
  #place(turns: readonly Turn[]): void {
    const wanted = new Set(turns);
    for (const [turn, view] of this.#views) {
      if (wanted.has(turn)) continue;
      view.element.remove();
      this.#views.delete(turn);
      this.#changed.delete(view);
    }
    let next: Element | null = null;
    for (const turn of turns.toReversed()) {
      const { element } = this.#viewOf(turn);
      // An element that stays where it is keeps the focus and its scroll position.
      if (element.parentElement === null || element.nextElementSibling !== next) {
        this.#log.insertBefore(element, next);
      }
      next = element;
    }
  }

  #viewOf(turn: Turn): TurnView {
    const known = this.#views.get(turn);
    if (known !== undefined) return known;
    const isHistory = this.#isHistory.get(turn) ?? false;
    const view: TurnView = new TurnView({
      turn,
      isHistory,
      isFromElsewhere: !turn.isMine && !isHistory,
      calls: () => this.#client?.callsOf(turn.turnId ?? "") ?? [],
      decide: (approvalId, decision) => this.#decide(approvalId, decision),
      feedback: (given) => this.#client?.feedback(given) ?? Promise.reject(new Error("Not connected")),
      replace: (question) => this.#options.replace(turn, question),
      onChange: () => {
        this.#changed.add(view);
        this.#draw();
      },
    });
    this.#views.set(turn, view);
    this.#changed.add(view);
    return view;
  }

  async #decide(approvalId: string, decision: Decision): Promise<void> {
    const client = this.#client;
    if (client === undefined) throw new Error("Not connected");
    if (decision.verdict === "reject") await client.reject(approvalId, decision.comment);
    else if (decision.verdict === "modify") await client.modify(approvalId, decision.input);
    else await client.approve(approvalId);
  }

  #showEarlier(): void {
    const { scrollHeight, scrollTop } = this.#log;
    this.#wanted = this.#views.size + PAGE;
    this.#isAtEnd = false;
    this.#drawNow();
    // What was read stays where it was.
    this.#log.scrollTop = scrollTop + this.#log.scrollHeight - scrollHeight;
    if (this.#earlier.hidden) this.#log.focus();
  }
}
