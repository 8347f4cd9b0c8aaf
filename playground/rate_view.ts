/** A small chart of the incoming text rate. */

import type { Turn } from "../client/mod.ts";
import { find, setText, svg } from "./dom.ts";
import { RateMeter } from "./rate_meter.ts";

const WIDTH = 240;
const HEIGHT = 48;
/** The smallest maximum of the chart's scale. */
const MIN_PEAK = 100;

export class RateView {
  readonly #meter = new RateMeter();
  readonly #seen = new WeakMap<Turn, number>();
  readonly #chart = find("rate-chart", SVGElement);
  readonly #bars: SVGElement[];
  #isEmpty = true;

  constructor() {
    const width = WIDTH / 60;
    this.#bars = Array.from(
      { length: 60 },
      (_, at) => svg("rect", { x: String(at * width), width: String(width - 1), y: "48", height: "0" }),
    );
    this.#chart.append(...this.#bars);
    setInterval(() => this.#draw(), 500);
  }

  /** The text of a turn has grown; text that was replayed after a reload does not count. */
  turn(turn: Turn, isHistory: boolean): void {
    const grown = turn.text.length - (this.#seen.get(turn) ?? 0);
    this.#seen.set(turn, turn.text.length);
    if (grown > 0 && !isHistory) this.#meter.add(grown, Date.now());
  }

  #draw(): void {
    const history = this.#meter.history(Date.now());
    const peak = Math.max(...history);
    if (peak === 0 && this.#isEmpty) return;
    this.#isEmpty = peak === 0;
    this.#bars.forEach((bar, at) => {
      const height = HEIGHT * (history[at] ?? 0) / Math.max(peak, MIN_PEAK);
      bar.setAttribute("y", String(HEIGHT - height));
      bar.setAttribute("height", String(height));
    });
    // The current second is not over yet.
    setText(
      find("rate-words", HTMLElement),
      `now ${history.at(-2) ?? 0}, at most ${peak} in the last minute`,
    );
  }
}
