import assert from "node:assert/strict";
import { inLanes } from "../../support/lanes.ts";

interface Job {
  name: string;
  finish(): void;
}

/** Jobs that end when the test says so; `started` contains the jobs that have begun and not ended yet. */
function jobsByHand(names: readonly string[]): { started: Job[]; jobs: (() => Promise<string>)[] } {
  const started: Job[] = [];
  const jobs = names.map((name) => () => {
    const { promise, resolve } = Promise.withResolvers<string>();
    const job: Job = {
      name,
      finish: () => {
        started.splice(started.indexOf(job), 1);
        resolve(name);
      },
    };
    started.push(job);
    return promise;
  });
  return { started, jobs };
}

async function settled(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await Promise.resolve();
}

Deno.test("inLanes: never more than the lanes at once, in their order, each once", async () => {
  const { started, jobs } = jobsByHand(["a", "b", "c", "d"]);
  const done: string[] = [];
  const running = inLanes(jobs, 2, (name) => done.push(name));
  assert.deepEqual(started.map(({ name }) => name), ["a", "b"]);
  started[1]?.finish();
  await settled();
  assert.deepEqual(started.map(({ name }) => name), ["a", "c"]);
  while (started.length > 0) {
    started[0]?.finish();
    await settled();
  }
  await running;
  assert.deepEqual(done, ["b", "a", "c", "d"]);
});

Deno.test("inLanes: more lanes than jobs, and no job at all", async () => {
  const { started, jobs } = jobsByHand(["a"]);
  const running = inLanes(jobs, 8, () => {});
  started[0]?.finish();
  await running;
  await inLanes([], 2, () => assert.fail("there is no job"));
});

Deno.test("inLanes: a job that throws is not swallowed", async () => {
  await assert.rejects(inLanes([() => Promise.reject(new Error("broken"))], 2, () => {}), /broken/);
});
