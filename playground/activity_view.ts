/** The live activity: how busy the agent is, and the progress of its turns. */

import type { StackInfo } from "../local/stack_info.ts";
import { ActivityState, type WatchedTurn } from "./activity_state.ts";
import { coalesced, el, find, setText } from "./dom.ts";
import { EventList } from "./event_list.ts";
import { Watcher, type WatchStatus } from "./watcher.ts";

const CHIPS: Readonly<Record<WatchStatus, readonly [words: string, tone: string]>> = {
  connecting: ["connecting", "warn"],
  watching: ["watching", "good"],
  refused: ["not allowed", "bad"],
};

export interface ActivityViewOptions {
  info: StackInfo;
  /** The user's own token; undefined if no user is signed in. */
  token(): Promise<string | undefined>;
}

export class ActivityView {
  readonly #options: ActivityViewOptions;
  readonly #state = new ActivityState();
  readonly #events: EventList;
  readonly #watcher: Watcher;
  readonly #mine = find("scope-mine", HTMLInputElement);
  readonly #all = find("scope-all", HTMLInputElement);
  readonly #rows = new Map<string, { item: HTMLElement; stage: HTMLElement; bar: HTMLProgressElement }>();
  readonly #draw = coalesced(() => this.#drawNow());

  constructor(options: ActivityViewOptions) {
    this.#options = options;
    const { url, activityPath } = options.info;
    this.#events = new EventList((type, isWanted) => this.#watcher.setType(type, isWanted));
    this.#watcher = new Watcher({
      url: `${url.replace(/^http/, "ws")}/functions/v1/agent_websocket${activityPath}`,
      token: () => this.#credential(),
      types: () => this.#events.types,
      onStatus: (status, why) => this.#drawStatus(status, why),
      onEvents: (events) => {
        for (const event of events) this.#state.take(event, Date.now());
        this.#events.add(events);
        this.#draw();
      },
    });
    for (const radio of [this.#all, this.#mine]) radio.addEventListener("change", () => this.#restart());
    // Ended turns must disappear without a new event.
    setInterval(this.#draw, 1000);
    this.#drawNow();
  }

  /** A user signed in or out. */
  account(isSignedIn: boolean): void {
    this.#mine.disabled = !isSignedIn;
    if (!isSignedIn && this.#mine.checked) this.#all.checked = true;
    this.#restart();
  }

  #restart(): void {
    this.#state.clear();
    this.#events.clear();
    this.#draw();
    const { authMode } = this.#options.info;
    const note = authMode === "none"
      ? "AUTH_MODE is none: everybody sees everything."
      : this.#mine.checked
      ? "As on the platform: a user sees what her own sessions do."
      : "The local stack lends this page a pass that sees everything. On the platform only a secret key does, or a user whom you let.";
    setText(find("scope-note", HTMLElement), note);
    this.#watcher.restart();
  }

  async #credential(): Promise<string | undefined> {
    if (this.#options.info.authMode === "none") return undefined;
    if (this.#mine.checked) {
      const token = await this.#options.token();
      if (token === undefined) throw new Error("Sign in to watch your own sessions");
      return token;
    }
    const response = await fetch("/playground/watch_pass", { method: "POST" });
    const answer = await response.json();
    if (!response.ok) throw new Error(String(answer.message));
    return String(answer.token);
  }

  #drawStatus(status: WatchStatus, why?: string): void {
    const chip = find("watch-status", HTMLElement);
    const [words, tone] = CHIPS[status];
    setText(chip, words);
    chip.dataset.tone = tone;
    if (why !== undefined) setText(find("scope-note", HTMLElement), why);
  }

  #drawNow(): void {
    const now = Date.now();
    const { level, intensity, isTold, runningTurns, sessions, operationsPerSecond } = this.#state.load(now);
    const percent = Math.round(level * 100);
    find("load", HTMLElement).dataset.intensity = intensity;
    const arc = find("gauge-level", SVGElement);
    arc.style.setProperty("--level", String(percent));
    arc.toggleAttribute("data-empty", percent === 0);
    setText(find("load-intensity", HTMLElement), intensity);
    setText(find("load-level", HTMLElement), `${percent} %`);
    const meter = find("load-meter", HTMLElement);
    meter.setAttribute("aria-valuenow", String(percent));
    meter.setAttribute("aria-valuetext", `${intensity}, ${percent} %`);
    const note = isTold
      ? "As the agent told it last."
      : "Reckoned from what is seen here; the agent tells when it leaves low.";
    setText(find("load-note", HTMLElement), note);
    this.#drawFigures([
      ["Turns running", String(runningTurns)],
      ["Sessions seen", String(sessions)],
      ["Memory ops/s", operationsPerSecond.toFixed(1)],
    ]);
    this.#drawTurns(this.#state.turns(now));
  }

  #drawFigures(figures: readonly (readonly [string, string])[]): void {
    const list = find("figures", HTMLElement);
    if (list.children.length === 0) {
      list.append(...figures.flatMap(([name]) => [el("dt", {}, name), el("dd")]));
    }
    figures.forEach(([, value], at) => {
      const shown = list.children[at * 2 + 1];
      if (shown !== undefined) setText(shown, value);
    });
  }

  #drawTurns(turns: readonly WatchedTurn[]): void {
    const list = find("turns", HTMLElement);
    const present = new Set(turns.map(({ id }) => id));
    for (const [id, { item }] of this.#rows) {
      if (present.has(id)) continue;
      item.remove();
      this.#rows.delete(id);
    }
    for (const { id, sessionId, stage, progress } of turns) {
      const row = this.#rows.get(id) ?? this.#addRow(list, id, sessionId);
      row.item.dataset.stage = stage;
      row.bar.value = progress;
      setText(row.stage, stage);
    }
    find("no-turns", HTMLElement).hidden = turns.length > 0;
  }

  #addRow(
    list: HTMLElement,
    id: string,
    sessionId: string,
  ): { item: HTMLElement; stage: HTMLElement; bar: HTMLProgressElement } {
    const stage = el("span");
    const bar = el("progress", { max: "1", "aria-label": `Progress of turn ${id.slice(0, 8)}` });
    const head = el(
      "span",
      { class: "row" },
      el("span", { class: "mono muted" }, `session ${sessionId.slice(0, 8)}`),
      stage,
    );
    const item = el("li", {}, head, bar);
    const row = { item, stage, bar };
    this.#rows.set(id, row);
    list.prepend(item);
    return row;
  }
}
