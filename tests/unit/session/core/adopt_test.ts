import assert from "node:assert/strict";
import { put } from "../../../../supabase/functions/_shared/session/core/put.ts";
import { step } from "../../../../supabase/functions/_shared/session/core/step.ts";
import { remoteTurn } from "../../../../supabase/functions/_shared/session/core/turn.ts";
import { heldSession, question } from "../../../support/core_session.ts";

const NOW = 1_000_000;

Deno.test("[TO3] [QU5] a turn that a write in doubt has begun in the store runs before one of a higher priority", () => {
  const state = heldSession();
  state.lease = { name: "in_doubt", epoch: 0, retryAt: NOW };
  state.log = { lastSeq: 2, wantedSeq: 2, reading: { name: "idle", retryAt: 0 } };
  const first = { ...question("first"), priority: "low" } as const;
  const urgent = { ...question("urgent"), priority: "high" } as const;
  // Its claim was answered too late; the log has told since that it is there.
  put(state, {
    phase: "proposed",
    query: first,
    attempt: { name: "none" },
    askers: [],
    write: "in_doubt",
    displaces: undefined,
    seq: 1,
  });
  put(state, remoteTurn(urgent, 2));
  const [fence] = step(state, { kind: "wake" }, NOW);
  assert.ok(fence?.kind === "commit" && fence.write.lease === "claim");
  const open = { partial: "", stopped: undefined, tools: [] };
  const effects = step(state, {
    kind: "committed",
    number: fence.number,
    answer: {
      events: [],
      lastSeq: 2,
      stopMatched: [],
      lease: { epoch: 1, holder: "self", leftMs: 5000 },
      stopped: [],
      openTurns: [
        { ...open, query: { ...first, seq: 1, at: NOW }, starts: 1, startsWithoutText: 1 },
        { ...open, query: { ...urgent, seq: 2, at: NOW }, starts: 0, startsWithoutText: 0 },
      ],
    },
  }, NOW);
  const asked = effects.flatMap((effect) => effect.kind === "ask" ? [effect.query.queryId] : []);
  assert.deepEqual(asked, ["first"]);
});
