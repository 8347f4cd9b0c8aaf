/** The rows as text, every column as wide as necessary. */

import { isMissed, type Row } from "./row.ts";

const HEAD = ["what", "unit", "floor", "ours", "ratio or difference", "goal", ""];

export function table(rows: readonly Row[]): string {
  const lines = [HEAD, ...rows.map(cells)];
  const widths = HEAD.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  const rule = widths.map((width) => "-".repeat(width)).join("-|-");
  const [head = "", ...body] = lines.map((line) =>
    line.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ").trimEnd()
  );
  return [head, rule, ...body].join("\n");
}

function cells(row: Row): string[] {
  const { what, unit, floor, ours, resultText, goal, isLeast = false } = row;
  const verdict = goal === undefined ? "" : isMissed(row) ? "missed" : "ok";
  return [
    what,
    unit,
    figure(floor),
    figure(ours),
    resultText,
    goal === undefined ? "" : `${isLeast ? "≥" : "≤"} ${goal}`,
    verdict,
  ];
}

function figure(value: number | undefined): string {
  if (value === undefined) return "";
  return value < 10 ? value.toFixed(2) : value < 100 ? value.toFixed(1) : value.toFixed(0);
}
