/** Events in the order of arrival, newest at the end, with a filter by type. */

import { ACTIVITY_TYPES, type ActivityEvent, type ActivityType, describe } from "./activity_events.ts";
import { clockTime, coalesced, el, find, setText } from "./dom.ts";

const MAX_EVENTS = 200;
const NEAR_END_PX = 40;

export class EventList {
  readonly #list = find("events", HTMLElement);
  readonly #wanted = new Set<ActivityType>(ACTIVITY_TYPES);
  readonly #draw = coalesced(() => this.#drawNow());
  #waiting: ActivityEvent[] = [];
  #isPaused = false;

  constructor(onFilter: (type: ActivityType, isWanted: boolean) => void) {
    for (const type of ACTIVITY_TYPES) {
      const box = el("input", { type: "checkbox", checked: "", name: type });
      box.addEventListener("change", () => {
        if (box.checked) this.#wanted.add(type);
        else this.#wanted.delete(type);
        onFilter(type, box.checked);
      });
      find("filters", HTMLElement).append(el("label", {}, box, type));
    }
    const pause = find("pause", HTMLButtonElement);
    pause.addEventListener("click", () => {
      this.#isPaused = !this.#isPaused;
      pause.setAttribute("aria-pressed", String(this.#isPaused));
      setText(pause, this.#isPaused ? "Go on" : "Pause");
      this.#draw();
    });
  }

  get types(): ActivityType[] {
    return [...this.#wanted];
  }

  add(events: readonly ActivityEvent[]): void {
    this.#waiting = [...this.#waiting, ...events].slice(-MAX_EVENTS);
    if (!this.#isPaused) this.#draw();
  }

  clear(): void {
    this.#waiting = [];
    this.#list.replaceChildren();
  }

  #drawNow(): void {
    if (this.#isPaused || this.#waiting.length === 0) return;
    const { scrollHeight, scrollTop, clientHeight } = this.#list;
    const isAtEnd = scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
    this.#list.append(...this.#waiting.map((event) =>
      el(
        "li",
        { "data-type": event.type },
        el("time", { datetime: event.timestamp }, clockTime(event.timestamp)),
        el("span", {}, el("b", {}, event.type.split("_")[0]), ` ${describe(event)}`),
      )
    ));
    this.#waiting = [];
    while (this.#list.children.length > MAX_EVENTS) this.#list.firstElementChild?.remove();
    if (isAtEnd) this.#list.scrollTop = this.#list.scrollHeight;
  }
}
