/** A query that takes the place of an earlier one: what is superseded, what stops, and what the model is given. */

import assert from "node:assert/strict";
import type { Committed } from "../../../../supabase/functions/_shared/ports/event_log.ts";
import type {
  LogEvent,
  NewLogEvent,
  RewoundEvent,
} from "../../../../supabase/functions/_shared/protocol/log_event.ts";
import type { Effect } from "../../../../supabase/functions/_shared/session/core/effect.ts";
import type { SessionEvent } from "../../../../supabase/functions/_shared/session/core/event.ts";
import { openSession } from "../../../../supabase/functions/_shared/session/core/open.ts";
import type { SessionState } from "../../../../supabase/functions/_shared/session/core/state.ts";
import { step, wakeAt } from "../../../../supabase/functions/_shared/session/core/step.ts";
import { CORE_SETTINGS, question } from "../../../support/core_session.ts";
import { cleared, query, response } from "../../../support/log_events.ts";

const NOW = 1_000_000;

function rewound(id: string, replaces: string, fromSeq: number): RewoundEvent {
  return { kind: "rewound", queryId: id, turnId: `t-${id}`, replaces, fromSeq };
}

function numbered(events: readonly (NewLogEvent | RewoundEvent)[], from = 1): LogEvent[] {
  return events.map((event, index): LogEvent => ({ ...event, seq: from + index, at: 0 }));
}

/** Questions `1` to `count`, each with its answer. */
function exchanges(count: number): NewLogEvent[] {
  return Array.from({ length: count }, (_, n) => String(n + 1)).flatMap((id) => [
    query(id, `question ${id}`),
    response(id, `answer ${id}`),
  ]);
}

/** A worker that opens a session with these events; it has read the last `tail` of them. */
class Opened {
  readonly state: SessionState;
  readonly log: LogEvent[];
  now = NOW;

  constructor(events: readonly (NewLogEvent | RewoundEvent)[], tail = Infinity) {
    this.log = numbered(events);
    const lease = { epoch: 0, holder: "nobody", leftMs: 0 } as const;
    const read = this.log.slice(-Math.min(tail, this.log.length));
    this.state = openSession(
      {
        record: { sessionId: "s", owner: { kind: "user", userId: "u" }, createdAt: 0 },
        tail: { events: read, oldestSeq: 1, lastSeq: this.log.length, lease },
        openTurns: [],
        defaults: {},
        notes: [],
      },
      CORE_SETTINGS,
      NOW,
    );
    this.take({
      kind: "attach",
      connectionId: "c",
      cursor: this.log.length,
      wantsDeltas: true,
      wantsReasoning: false,
      isResumed: false,
    });
  }

  take(event: SessionEvent): Effect[] {
    return step(this.state, event, this.now);
  }

  ask(id: string, replaces?: string): Effect[] {
    const asked = { ...question(id, `question ${id}`), ...(replaces !== undefined && { replaces }) };
    return this.take({ kind: "ask", query: asked, policy: "queue", refusal: undefined });
  }

  /** The write in flight is committed with these events. */
  commit(events: readonly (NewLogEvent | RewoundEvent)[]): Effect[] {
    const logged = numbered(events, this.log.length + 1);
    this.log.push(...logged);
    const answer: Committed = {
      events: logged,
      lastSeq: this.log.length,
      stopMatched: [],
      lease: { epoch: 1, holder: "self", leftMs: 5000 },
      stopped: [],
      openTurns: [],
    };
    return this.take({ kind: "committed", number: this.state.lastWrite, answer });
  }
}

function promptIn(effects: readonly Effect[]): string[] | undefined {
  const asked = effects.find((effect) => effect.kind === "ask");
  return asked?.kind === "ask" ? asked.messages.map(({ content }) => content) : undefined;
}

function refusalsIn(effects: readonly Effect[]): unknown[] {
  return effects.flatMap((effect) => effect.kind === "refuse" ? [[effect.queryId, effect.refusal.code]] : []);
}

Deno.test("[RW1] the model is given what came before the replaced question, and not before the log says where that was", () => {
  const session = new Opened(exchanges(3));
  assert.equal(promptIn(session.ask("2b", "2")), undefined);
  const effects = session.commit([rewound("2b", "2", 3), query("2b", "question 2b")]);
  assert.deepEqual(promptIn(effects), ["question 1", "answer 1", "question 2b"]);
  assert.deepEqual(
    effects.flatMap((effect) => effect.kind === "show" ? [effect.event.kind] : []),
    ["rewound"],
  );
});

Deno.test("[RW2] a turn that is superseded while it runs is stopped, and the new one follows", () => {
  const session = new Opened([]);
  session.ask("1");
  session.commit([query("1")]);
  session.take({ kind: "text", call: 1, text: "An answer " });
  session.ask("1b", "1");
  const effects = session.commit([rewound("1b", "1", 1), query("1b", "question 1b")]);
  assert.ok(effects.some((effect) => effect.kind === "abort" && effect.call === 1));
  const written = effects.find((effect) => effect.kind === "commit");
  assert.ok(written?.kind === "commit");
  const [end] = written.write.events ?? [];
  assert.ok(end?.kind === "cancelled" && end.reason === "superseded" && end.partial === "An answer ");
  assert.deepEqual(promptIn(session.commit([end])), ["question 1b"]);
});

Deno.test("[RW2] a turn of a worker that is gone is not continued if it was superseded", () => {
  const first = { ...query("1"), seq: 1, at: 0 };
  const open = {
    query: first,
    starts: 1,
    startsWithoutText: 0,
    partial: "An",
    stopped: undefined,
    tools: [],
  };
  const state = openSession(
    {
      record: { sessionId: "s", owner: { kind: "user", userId: "u" }, createdAt: 0 },
      // The superseded question itself is not visible.
      tail: {
        events: numbered([rewound("1b", "1", 1), query("1b", "question 1b")], 2),
        oldestSeq: 1,
        lastSeq: 3,
        lease: { epoch: 1, holder: "nobody", leftMs: 0 },
      },
      openTurns: [open, {
        query: { ...query("1b", "question 1b"), seq: 3, at: 0 },
        starts: 0,
        startsWithoutText: 0,
        partial: "",
        stopped: undefined,
        tools: [],
      }],
      defaults: {},
      notes: [],
    },
    CORE_SETTINGS,
    NOW,
  );
  const claimed = step(state, { kind: "wake" }, NOW).find((effect) => effect.kind === "commit");
  assert.ok(claimed?.kind === "commit");
  const effects = step(state, {
    kind: "committed",
    number: claimed.number,
    answer: {
      events: [],
      lastSeq: 3,
      stopMatched: [],
      lease: { epoch: 2, holder: "self", leftMs: 5000 },
      stopped: [],
      openTurns: [open],
    },
  }, NOW);
  const [end] = effects.flatMap((effect) => effect.kind === "commit" ? effect.write.events ?? [] : []);
  assert.ok(end?.kind === "cancelled" && end.queryId === "1" && end.reason === "superseded");
});

Deno.test("[RW3] a query whose place the log does not have is refused, and nothing else changes", () => {
  const session = new Opened(exchanges(1));
  session.ask("x", "nobody");
  const effects = session.commit([]);
  assert.deepEqual(refusalsIn(effects), [["x", "unknown_query"]]);
  assert.equal(session.state.turns.size, 0);
  assert.equal(session.state.history.exchanges.length, 1);
});

Deno.test("[RW3] the same id with another place is a conflict", () => {
  const session = new Opened(exchanges(2));
  session.ask("x", "1");
  assert.deepEqual(refusalsIn(session.ask("x", "2")), [["x", "id_conflict"]]);
  assert.deepEqual(refusalsIn(session.ask("x", "1")), []);
});

Deno.test("[RW4] exchanges that were dropped and are in view again are read before the model is asked", () => {
  // The history keeps 5 exchanges, and 4 of them fit a prompt.
  const session = new Opened(exchanges(9));
  session.ask("7b", "7");
  const effects = session.commit([rewound("7b", "7", 13), query("7b", "question 7b")]);
  assert.equal(promptIn(effects), undefined);
  const recall = effects.find((effect) => effect.kind === "recall");
  assert.ok(recall?.kind === "recall");
  assert.equal(recall.beforeSeq, 19);
  const { beforeSeq } = recall;

  // While the store is away it is tried again, and nobody else's question goes first.
  session.take({ kind: "recall_failed", beforeSeq, code: "store_unavailable" });
  const retryAt = wakeAt(session.state, session.now);
  assert.ok(retryAt !== undefined && retryAt > NOW);
  assert.equal(promptIn(session.ask("other")), undefined);
  session.now = retryAt;
  const again = session.take({ kind: "wake" });
  assert.ok(again.some((effect) => effect.kind === "recall"));

  const page = { events: session.log.slice(0, 12), isFirst: true };
  assert.deepEqual(promptIn(session.take({ kind: "recalled", beforeSeq, page })), [
    ...["3", "4", "5", "6"].flatMap((id) => [`question ${id}`, `answer ${id}`]),
    "question 7b",
  ]);
});

Deno.test("[RW4] a worker that has read only the end of the log reads on where that is too little", () => {
  const session = new Opened(exchanges(6), 4);
  session.ask("6b", "6");
  const effects = session.commit([rewound("6b", "6", 11), query("6b", "question 6b")]);
  assert.equal(promptIn(effects), undefined);
  assert.ok(effects.some((effect) => effect.kind === "recall"));
});

Deno.test("[RW4] nothing is read where a clear hides what came before", () => {
  const session = new Opened([...exchanges(9), cleared("c"), query("a", "question a"), response("a")]);
  session.ask("b", "a");
  assert.deepEqual(
    promptIn(session.commit([rewound("b", "a", 20), query("b", "question b")])),
    ["question b"],
  );
});

Deno.test("[RW3] [CM5] a stop of a query that the log then refuses is passed on: another worker may have written the same query", () => {
  const session = new Opened(exchanges(1));
  session.ask("x", "nobody");
  const stop = { which: { queryId: "x" }, reason: "cancelled" } as const;
  session.take({ kind: "stop", wish: "w", stop });
  const [write] = session.commit([]).flatMap((effect) => effect.kind === "commit" ? [effect.write] : []);
  assert.deepEqual(write?.stop, stop);
});
