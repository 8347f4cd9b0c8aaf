import assert from "node:assert/strict";
import { Turn } from "../../../supabase/functions/_shared/agent/turn.ts";
import type { LogEvent } from "../../../supabase/functions/_shared/protocol/log_event.ts";
import { QueryIndex } from "../../../supabase/functions/_shared/session/query_index.ts";
import { query, response } from "../../support/log_events.ts";

/** A query and its response, as the log has them. */
function turn(n: number, content: string): LogEvent[] {
  const turnId = `t${n}`;
  return [
    { ...query(`q${n}`, content), turnId, seq: 2 * n + 1, at: 0 },
    { ...response(`q${n}`), turnId, seq: 2 * n + 2, at: 0 },
  ];
}

Deno.test("[QU4] QueryIndex: queries are forgotten with their events", () => {
  const index = new QueryIndex();
  for (let n = 0; n < 10; n++) for (const event of turn(n, "?")) index.apply(event, event.seq - 5);
  assert.equal(index.get("q6"), undefined);
  assert.equal(index.get("q7")?.terminalSeq, 16);
  assert.equal(index.lastTurnId, "t9");
});

Deno.test("[QU4] QueryIndex: what it keeps of long questions is bounded", () => {
  const index = new QueryIndex();
  for (let n = 0; n < 100; n++) for (const event of turn(n, "x".repeat(100_000))) index.apply(event, 0);
  const kept = Array.from({ length: 100 }, (_, n) => index.get(`q${n}`)).filter((known) =>
    known !== undefined
  );
  assert.equal(kept.length, 40);
  assert.equal(kept.at(-1)?.queryId, "q99");
});

Deno.test("[DU1] QueryIndex: an open query whose event was never read is still to be answered when its turn is dropped", () => {
  const index = new QueryIndex();
  index.attach(new Turn({ ...query("q"), stream: undefined, payers: [] }), 7);
  assert.deepEqual(index.elsewhere, []);
  index.detachAll();
  assert.deepEqual(index.elsewhere.map(({ queryId, seq }) => [queryId, seq]), [["q", 7]]);
});

Deno.test("[QU2] QueryIndex: the end of an older turn does not end a later one of the same query", () => {
  const index = new QueryIndex();
  index.apply({ ...query("q"), turnId: "later", seq: 1, at: 0 }, 0);
  index.apply({ ...response("q"), turnId: "older", seq: 2, at: 0 }, 0);
  assert.deepEqual(index.elsewhere.map(({ turnId }) => turnId), ["later"]);
  index.apply({ ...response("q"), turnId: "later", seq: 3, at: 0 }, 0);
  assert.equal(index.get("q")?.terminalSeq, 3);
});
