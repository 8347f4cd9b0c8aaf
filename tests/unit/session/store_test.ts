/** A session with a store that is slow or fails, as a store over the network does. */

import assert from "node:assert/strict";
import { AgentError } from "../../../supabase/functions/_shared/errors.ts";
import type {
  Committed,
  LogPage,
  LogRange,
  LogWrite,
} from "../../../supabase/functions/_shared/ports/event_log.ts";
import { MemoryStore } from "../../../supabase/functions/_shared/session/memory_store.ts";
import { startAgent } from "../../support/agent_harness.ts";
import { ManualClock, settle } from "../../support/manual_clock.ts";

/** A memory store whose appends wait until the test lets them pass, in order, or fail. */
class GatedStore extends MemoryStore {
  isOpen = true;
  isDown = false;
  /** If set, appends are executed at once, and only their answers wait. */
  holdsAnswers = false;
  holdsReads = false;
  readonly #waiting: (() => void)[] = [];
  readonly #reading: (() => void)[] = [];

  constructor() {
    super({ clock: new ManualClock(), maxEvents: 1000 });
  }

  override async commit(sessionId: string, write: LogWrite): Promise<Committed> {
    const done = this.holdsAnswers ? await super.commit(sessionId, write) : undefined;
    if (!this.isOpen) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    if (this.isDown) throw new AgentError("store_unavailable", "Cannot reach the store", { retryable: true });
    return done ?? await super.commit(sessionId, write);
  }

  override async read(sessionId: string, range: LogRange): Promise<LogPage> {
    if (this.holdsReads) await new Promise<void>((resolve) => this.#reading.push(resolve));
    return await super.read(sessionId, range);
  }

  override create(...args: Parameters<MemoryStore["create"]>): Promise<void> {
    if (this.isDown) {
      return Promise.reject(
        new AgentError("store_unavailable", "Cannot reach the store", { retryable: true }),
      );
    }
    return super.create(...args);
  }

  open(): void {
    this.isOpen = true;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  /** The append that has waited longest fails. */
  async failNext(): Promise<void> {
    this.isDown = true;
    this.#waiting.shift()?.();
    await settle();
    this.isDown = false;
  }

  /** Lets the waiting reads pass. */
  letRead(): void {
    for (const resolve of this.#reading.splice(0)) resolve();
  }
}

Deno.test("[QU1] the model is asked before the store answers, and heard once its question is in the log", async () => {
  const store = new GatedStore();
  const { connect, model } = startAgent({ store });
  const client = await connect("stream=true");
  const other = await connect(client.resumeQuery(0));
  store.isOpen = false;
  client.ask("x", { id: "a" });
  assert.equal(model.calls.length, 1, "asked in the same turn of the event loop");
  model.last.say("first");
  await settle();
  assert.deepEqual([client.of("delta"), client.seqs], [[], []]);
  store.open();
  await settle();
  assert.equal(client.only("delta").content, "first");
  assert.deepEqual(client.seqs, [1]);
  model.last.finish(" last");
  await settle();
  assert.deepEqual(client.seqs, [1, 2]);
  assert.deepEqual(other.seqs, [1, 2]);
  assert.equal(client.only("response").content, "first last");
});

Deno.test("[QU2] [QU10] all cancelled before the store has answered: each ends once, and the next is answered", async () => {
  const store = new GatedStore();
  const { connect, model } = startAgent({ store });
  const client = await connect();
  store.isOpen = false;
  for (const id of ["1", "2", "3", "4"]) client.ask(id, { id });
  await settle();
  client.command("cancel", { all: true });
  await settle();
  store.open();
  await settle();
  assert.deepEqual(client.of("status", "cancelled").map(({ in_reply_to }) => in_reply_to).sort(), [
    "1",
    "2",
    "3",
    "4",
  ]);
  client.ask("next", { id: "5" });
  await settle();
  model.last.finish("5!");
  await settle();
  assert.equal(client.only("response").in_reply_to, "5");
  assert.equal(model.calls.length, 2);
});

Deno.test("[QU2] a query whose event cannot be committed ends with one error, and the id may be used again", async () => {
  const store = new GatedStore();
  const { connect, model } = startAgent({ store });
  const client = await connect();
  store.isDown = true;
  client.ask("x", { id: "a" });
  client.ask("y", { id: "b" });
  await settle();
  assert.deepEqual(
    client.of("error").map(({ code, in_reply_to, retryable }) => [code, in_reply_to, retryable]).sort(),
    [
      ["store_unavailable", "a", true],
      ["store_unavailable", "b", true],
    ],
  );
  assert.equal(model.calls[0]?.signal.aborted, true);
  store.isDown = false;
  client.ask("x", { id: "a" });
  await settle();
  assert.equal(client.only("status", "thinking").in_reply_to, "a");
});

Deno.test("[QU2] [DU5] an answer that cannot be committed is told of, kept, and written when the store is back", async () => {
  const store = new GatedStore();
  const { connect, model } = startAgent({ store });
  const client = await connect();
  client.ask("x", { id: "a" });
  await settle();
  store.isDown = true;
  model.last.finish("lost");
  await settle();
  assert.deepEqual([client.only("error").code, client.only("error").in_reply_to], ["store_unavailable", "a"]);
  store.isDown = false;
  client.ask("y", { id: "b" });
  await settle();
  model.last.finish("kept");
  await settle();
  assert.deepEqual(client.of("response").map((frame) => [frame.in_reply_to, frame.content]), [
    ["a", "lost"],
    ["b", "kept"],
  ]);
  assert.equal(model.calls.length, 2, "nothing is asked for twice");
});

Deno.test("[DU1] [DU5] a question that was read in the log before the answer to its write was lost is answered", async () => {
  const store = new GatedStore();
  const { connect, model, server } = startAgent({ store });
  const client = await connect();
  store.isOpen = false;
  store.holdsAnswers = true;
  client.ask("x", { id: "a" });
  server.receive(client.sessionId, { kind: "appended", seq: 1 });
  await settle();
  assert.deepEqual(client.seqs, [1]);
  await store.failNext();
  store.open();
  await settle();
  assert.equal(client.of("error").length, 0, "it is known that the log has it");
  model.last.finish("!");
  await settle();
  assert.equal(client.only("response").in_reply_to, "a");
});

Deno.test("[DU1] [DU5] a question that was asked behind one whose write has failed is answered", async () => {
  const store = new GatedStore();
  const { connect, model, server } = startAgent({ store });
  const client = await connect();
  store.isOpen = false;
  client.ask("x", { id: "a" });
  client.ask("y", { id: "b" });
  store.holdsReads = true;
  await store.failNext();
  server.receive(client.sessionId, { kind: "appended", seq: 2 });
  store.letRead();
  await settle();
  assert.equal(client.only("error").in_reply_to, "a");
  assert.deepEqual(client.seqs, []);
  store.open();
  await settle();
  store.holdsReads = false;
  store.letRead();
  await settle();
  model.last.finish("b!");
  await settle();
  assert.deepEqual([client.only("response").in_reply_to, client.only("response").content], ["b", "b!"]);
});

Deno.test("[HS3] where no session can be made there is none, and the client is told to come back", async () => {
  const store = new GatedStore();
  const { connect, server } = startAgent({ store });
  store.isDown = true;
  const client = await connect();
  assert.deepEqual(client.frames.map(({ type, code, retryable }) => [type, code, retryable]), [
    ["error", "store_unavailable", true],
  ]);
  assert.equal(client.closed?.code, 1013);
  assert.equal(server.count().sessions, 0);
});

Deno.test("[FB3] [DU5] a modify whose query the store has not taken goes with the next one", async () => {
  const store = new GatedStore();
  const { connect, model } = startAgent({ store });
  const client = await connect();
  model.onCall = (call) => queueMicrotask(() => call.finish("!"));
  client.ask("first");
  await settle();
  client.say({ type: "human_feedback", verdict: "modify", content: "shorter" });
  await settle();
  store.isOpen = false;
  client.ask("second", { id: "2" });
  await store.failNext();
  assert.equal(client.of("error")[0]?.code, "store_unavailable");
  store.open();
  await settle();
  client.ask("third", { id: "3" });
  await settle();
  assert.match(model.last.request.messages.at(-1)?.content ?? "", /shorter[^]*third$/);
});
