import assert from "node:assert/strict";
import { sectionOf } from "../support/section.ts";
import { read } from "../support/source_files.ts";
import { transcript } from "../support/transcript.ts";

Deno.test({
  name: "README.md shows the conversation that a newcomer has (deno task transcript writes it)",
  // aimock does not clear two of its intervals when it is stopped.
  sanitizeOps: false,
  sanitizeResources: false,
  async fn(): Promise<void> {
    assert.equal(sectionOf(read("README.md"), "transcript"), await transcript());
  },
});
