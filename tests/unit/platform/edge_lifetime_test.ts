import assert from "node:assert/strict";
import {
  onWorkerEnding,
  workerLifetime,
} from "../../../supabase/functions/_shared/platform/edge_lifetime.ts";

Deno.test("a worker is held by a native promise that settles with the work and never rejects", async () => {
  using runtime = fakeEdgeRuntime();
  const lifetime = workerLifetime();
  lifetime.hold(Promise.resolve("done"));
  lifetime.hold(Promise.reject(new Error("the owner's to see")));
  assert.deepEqual(await Promise.all(runtime.held), [undefined, undefined]);
  assert.ok(runtime.held.every((promise) => promise.constructor === Promise));
});

Deno.test("without EdgeRuntime holding does nothing", () => {
  workerLifetime().hold(Promise.resolve());
});

Deno.test("beforeunload drains once, with its reason, and the drain holds the worker", async () => {
  using runtime = fakeEdgeRuntime();
  const reasons: string[] = [];
  const draining = Promise.withResolvers<void>();
  onWorkerEnding((reason) => {
    reasons.push(reason);
    return draining.promise;
  });
  assert.deepEqual([reasons, runtime.held.length], [[], 0]);
  globalThis.dispatchEvent(new CustomEvent("beforeunload", { detail: { reason: "wall_clock" } }));
  globalThis.dispatchEvent(new CustomEvent("beforeunload", { detail: { reason: "termination" } }));
  assert.deepEqual(reasons, ["wall_clock"]);
  let released = false;
  const all = Promise.all(runtime.held).then(() => released = true);
  await Promise.resolve();
  assert.equal(released, false);
  draining.resolve();
  await all;
});

Deno.test("a beforeunload of any other shape has the reason unknown, and a drain that rejects is no accident", async () => {
  for (const event of [new Event("beforeunload"), new CustomEvent("beforeunload", { detail: "now" })]) {
    using runtime = fakeEdgeRuntime();
    const reasons: string[] = [];
    onWorkerEnding((reason) => {
      reasons.push(reason);
      return Promise.reject(new Error("cannot drain"));
    });
    globalThis.dispatchEvent(event);
    assert.deepEqual(reasons, ["unknown"]);
    await Promise.all(runtime.held);
  }
});

interface FakeEdgeRuntime extends Disposable {
  readonly held: Promise<unknown>[];
}

function fakeEdgeRuntime(): FakeEdgeRuntime {
  const held: Promise<unknown>[] = [];
  Reflect.set(globalThis, "EdgeRuntime", { waitUntil: (work: Promise<unknown>) => held.push(work) });
  return { held, [Symbol.dispose]: () => void Reflect.deleteProperty(globalThis, "EdgeRuntime") };
}
