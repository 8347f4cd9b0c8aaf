/** One line of the table. */

import { median } from "./statistics.ts";

export interface Row {
  what: string;
  unit: string;
  floor: number | undefined;
  ours: number | undefined;
  /** The value to compare with the goal: a ratio, or a difference in `unit`. */
  result: number;
  resultText: string;
  /** The maximum for `result`; undefined if there is no goal. */
  goal: number | undefined;
  /** The goal is a minimum for `result`. */
  isLeast?: boolean;
}

/**
 * A ratio of two series measured in turn: the median of the ratios of each pair, because the machine drifts between the
 * pairs.
 */
export function ratioRow(
  what: string,
  series: { floor: readonly number[]; ours: readonly number[]; unit: string; goal: number | undefined },
): Row {
  const { floor, ours, unit, goal } = series;
  const ratios = ours.map((value, index) => value / (floor[index] ?? NaN));
  const result = median(ratios);
  const spread = `${Math.min(...ratios).toFixed(2)}–${Math.max(...ratios).toFixed(2)}`;
  const resultText = `${result.toFixed(2)} (${spread})`;
  return { what, unit, floor: median(floor), ours: median(ours), result, resultText, goal };
}

/** The same if more is better: the goal is the minimum for the ratio. */
export function atLeastRow(...[what, series]: Parameters<typeof ratioRow>): Row {
  return { ...ratioRow(what, series), isLeast: true };
}

export function differenceRow(
  what: string,
  values: { floor: number; ours: number; unit: string; goal: number | undefined },
): Row {
  const { floor, ours, unit, goal } = values;
  const result = ours - floor;
  const resultText = `${result < 0 ? "" : "+"}${result.toFixed(2)} ${unit}`;
  return { what, unit, floor, ours, result, resultText, goal };
}

export function isMissed({ result, goal, isLeast = false }: Row): boolean {
  return goal !== undefined && !(isLeast ? result >= goal : result <= goal);
}
