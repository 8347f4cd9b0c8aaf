import assert from "node:assert/strict";
import { sectionOf } from "../support/section.ts";
import { read } from "../support/source_files.ts";
import { transcripts } from "../support/transcript.ts";

Deno.test({
  name: "README.md shows the conversations that a newcomer has (deno task transcript writes them)",
  // aimock does not clear two of its intervals when it is stopped.
  sanitizeOps: false,
  sanitizeResources: false,
  async fn(): Promise<void> {
    const page = read("README.md");
    for (const [name, text] of await transcripts()) assert.equal(sectionOf(page, name), text);
  },
});
