/** Parses Prometheus' text format 0.0.4, as strictly as Prometheus does. */

import assert from "node:assert/strict";

export interface Sample {
  name: string;
  labels: Readonly<Record<string, string>>;
  value: number;
}

export interface Family {
  name: string;
  type: string;
  help: string;
  samples: Sample[];
}

const SAMPLE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (-?\d+(?:\.\d+)?(?:e[+-]?\d+)?|NaN|[+-]Inf)$/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/y;

/**
 * The metric families of a page by name. Throws if a line is malformed, if a sample comes before its HELP and TYPE, if
 * a family is not contiguous, or if a series is repeated.
 */
export function parsePrometheus(text: string): Map<string, Family> {
  assert.ok(text.endsWith("\n"), "the last line does not end with a line feed");
  const families = new Map<string, Family>();
  const series = new Set<string>();
  let current: Family | undefined;
  for (const line of text.slice(0, -1).split("\n")) {
    const [, keyword, about = "", rest = ""] = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line) ?? [];
    if (keyword === "HELP") {
      assert.ok(!families.has(about), `${about} is repeated`);
      current = { name: about, type: "", help: rest, samples: [] };
      families.set(about, current);
    } else if (keyword === "TYPE") {
      assert.ok(current !== undefined && current.name === about && current.type === "", line);
      assert.match(rest, /^(counter|gauge|histogram|summary|untyped)$/);
      current.type = rest;
    } else {
      const [, name = "", labels = "", value = ""] = SAMPLE.exec(line) ?? [];
      assert.ok(current !== undefined && name === current.name && current.type !== "", line);
      assert.ok(!series.has(`${name}{${labels}}`), `${line} is repeated`);
      series.add(`${name}{${labels}}`);
      current.samples.push({ name, labels: parseLabels(labels), value: Number(value) });
    }
  }
  return families;
}

function parseLabels(text: string): Record<string, string> {
  const labels: Record<string, string> = {};
  LABEL.lastIndex = 0;
  while (LABEL.lastIndex < text.length) {
    const [whole, name = "", value = ""] = LABEL.exec(text) ?? [];
    assert.ok(whole !== undefined, `malformed labels: ${text}`);
    labels[name] = value.replaceAll(/\\(.)/g, (_, character) => character === "n" ? "\n" : character);
  }
  return labels;
}

/** The sum of the samples of a counter or gauge with these labels; 0 if no sample matches. */
export function valueOf(page: string, name: string, labels: Readonly<Record<string, string>> = {}): number {
  const samples = parsePrometheus(page).get(name)?.samples ?? assert.fail(`there is no ${name}`);
  const isMeant = (sample: Sample): boolean =>
    Object.entries(labels).every(([label, value]) => sample.labels[label] === value);
  return samples.filter(isMeant).reduce((sum, { value }) => sum + value, 0);
}
