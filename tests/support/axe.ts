/** What axe finds on the page. */

import axe from "axe-core";
import type { PlaygroundPage } from "./playground.ts";

interface Finding {
  id: string;
  impact: string | null;
  nodes: { html: string; failureSummary?: string }[];
}

/** Every finding of axe except minor ones. */
export async function findings({ page }: PlaygroundPage): Promise<string[]> {
  // Through the debugger, because the page's content security policy blocks scripts.
  await page.evaluate(axe.source);
  const { violations }: { violations: Finding[] } = await page.evaluate("axe.run()");
  return violations.filter(({ impact }) => impact !== "minor").flatMap(({ id, impact, nodes }) =>
    nodes.map(({ html, failureSummary }) => `${impact} ${id}: ${html.slice(0, 200)}\n${failureSummary}`)
  );
}
