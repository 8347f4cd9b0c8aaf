import assert from "node:assert/strict";
import { ChosenStore } from "../../../supabase/functions/_shared/session/chosen_store.ts";
import { MemoryStore } from "../../../supabase/functions/_shared/session/memory_store.ts";
import {
  SECOND_LOOK_MS,
  SETTLED_AFTER_MS,
  StoreChoice,
} from "../../../supabase/functions/_shared/store_choice.ts";
import { query, response } from "../../support/log_events.ts";
import { ManualClock, settle } from "../../support/manual_clock.ts";

const ANN = { kind: "user", userId: "ann" } as const;

/** A database that can be missing; it is a separate store in memory. */
class Database extends MemoryStore {
  isMissing = true;

  probe(): Promise<"postgres" | "missing"> {
    return Promise.resolve(this.isMissing ? "missing" : "postgres");
  }
}

interface Opened {
  clock: ManualClock;
  database: Database;
  store: ChosenStore;
  create(sessionId: string): Promise<void>;
}

/** A worker with a session `here`, created while the migration was missing. The database has `there`, from before. */
async function open(): Promise<Opened> {
  const clock = new ManualClock();
  const database = new Database({ clock, maxEvents: 100 });
  const choice = new StoreChoice({ mode: "auto", clock, log: { write: () => {} }, durable: database });
  const store = new ChosenStore({ choice, memory: new MemoryStore({ clock, maxEvents: 100 }) });
  const create = (sessionId: string): Promise<void> =>
    store.create({ sessionId, owner: ANN, createdAt: clock.now() });
  await database.create({ sessionId: "there", owner: ANN, createdAt: clock.now() });
  const made = create("here");
  await settle();
  clock.advance(SECOND_LOOK_MS);
  await made;
  return { clock, database, store, create };
}

Deno.test("[DU7] ChosenStore: a session stays in the store in which it was made, and says which that is", async () => {
  const { clock, database, store, create } = await open();
  assert.equal(store.isDurable("here"), false);
  await store.commit("here", { events: [query("1")] });
  database.isMissing = false;
  clock.advance(60_000);
  await create("later");
  assert.deepEqual(["here", "later", "there"].map((id) => store.isDurable(id)), [false, true, true]);
  for (const id of ["here", "later"]) await store.commit(id, { events: [query("1"), response("1")] });
  await store.recordFeedback("here", { id: "f", turnId: "t-1", rating: 1, comment: "" });
  assert.equal((await store.find("here", [ANN], { tail: 5 }))?.tail.lastSeq, 2);
  assert.equal((await store.read("here", { afterSeq: 0, limit: 5 })).lastSeq, 2);
  assert.equal((await database.read("later", { afterSeq: 0, limit: 5 })).lastSeq, 2);
  assert.equal(await database.find("here", [ANN], { tail: 5 }), undefined);
  const heads = await store.heads(["here", "later", "there", "never"]);
  assert.deepEqual(Object.fromEntries(heads), { here: 2, later: 2, there: 0 });
  await store.remove("here");
  assert.equal(await store.find("here", [ANN], { tail: 5 }), undefined);
  await assert.rejects(store.commit("here", {}), { code: "unknown_session" });
});

Deno.test("[DU7] [RS3] ChosenStore: a session of the database is found by a worker in memory, or called unknown only when that is sure", async () => {
  const { clock, database, store } = await open();
  assert.equal((await store.find("here", [ANN], { tail: 5 }))?.record.sessionId, "here");
  await assert.rejects(store.find("there", [ANN], { tail: 5 }), {
    code: "store_unavailable",
    retryable: true,
  });
  database.isMissing = false;
  assert.equal((await store.find("there", [ANN], { tail: 5 }))?.record.sessionId, "there");
  // If the migration is really missing, the answer is the same as for a session that never existed.
  const other = await open();
  other.clock.advance(SETTLED_AFTER_MS);
  assert.equal(await other.store.find("there", [ANN], { tail: 5 }), undefined);
  assert.equal(clock.pending, 0);
});

Deno.test("[DU7] [CM1] ChosenStore: the list has the sessions of both stores, each once, page by page", async () => {
  const { clock, database, store, create } = await open();
  const here = await store.list({ userId: "ann" }, { limit: 5 });
  assert.deepEqual(here.map(({ record }) => record.sessionId), ["here"]);
  database.isMissing = false;
  clock.advance(60_000);
  await create("later");
  const pages: string[][] = [];
  for (let page = await store.list({ userId: "ann" }, { limit: 2 }); page.length > 0;) {
    pages.push(page.map(({ record }) => record.sessionId));
    page = await store.list({ userId: "ann" }, { limit: 2, before: page.at(-1)?.record.sessionId ?? "" });
  }
  assert.deepEqual(pages, [["here", "later"], ["there"]]);
});
