/** The workers of the local stack start and stop as the platform's do. */

import assert from "node:assert/strict";
import { lockArgs } from "../../local/lock_args.ts";
import { read } from "../support/source_files.ts";
import { eventually, FIXTURE_FUNCTIONS, type TestStack, withLocalStack } from "../support/local_stack.ts";
import { WireClient } from "../support/wire_client.ts";

const functions = FIXTURE_FUNCTIONS;

interface Seen {
  worker: string;
  path: string;
  headers: Record<string, string>;
}

async function ask(stack: TestStack, path = "request"): Promise<Seen> {
  const response = await fetch(`${stack.url}/functions/v1/probe/${path}`);
  assert.equal(response.status, 200);
  return await response.json();
}

async function text(stack: TestStack, path: string): Promise<{ status: number; body: string }> {
  const response = await fetch(`${stack.url}/functions/v1/${path}`);
  return { status: response.status, body: await response.text() };
}

const live = (stack: TestStack): number[] =>
  stack.workers().filter((one) => one.function === "probe" && one.state === "live").map(({ worker }) =>
    worker
  );

Deno.test("local workers: requests go round two of them, sockets too", async () => {
  await withLocalStack({ functions, workers: 2 }, async (stack) => {
    await eventually("two live workers", () => live(stack).length === 2);
    const seen: string[] = [];
    for (let count = 0; count < 6; count++) seen.push((await ask(stack)).worker);
    assert.equal(new Set(seen).size, 2);
    assert.ok(seen.every((worker, index) => worker === seen[index % 2]), `in turn: ${seen}`);
    const [one, two] = [0, 1].map(() => new WireClient(`${stack.wsUrl}/functions/v1/probe/socket`));
    assert.ok(one && two);
    assert.notEqual(await one.next(/^worker/), await two.next(/^worker/));
    await Promise.all([one.close(), two.close()]);
  });
});

Deno.test("local workers: a function finds the platform's environment and the user's, and no other", async () => {
  const env = { MODEL: "a/b", SUPABASE_SECRET_KEY: "sb_secret_mine", EMPTY: "", SB_REGION: "" };
  await withLocalStack({ functions, env }, async (stack) => {
    const { body } = await text(stack, "probe/env");
    const found: Record<string, string> = JSON.parse(body);
    assert.equal(found.SUPABASE_URL, stack.url);
    assert.deepEqual(JSON.parse(found.SUPABASE_PUBLISHABLE_KEYS ?? ""), {
      default: stack.keys.publishableKey,
    });
    assert.deepEqual(JSON.parse(found.SUPABASE_SECRET_KEYS ?? ""), { default: "sb_secret_mine" });
    assert.equal(found.SUPABASE_ANON_KEY, stack.keys.anonKey);
    assert.equal(found.AUTH_MODE, "optional");
    assert.equal(found.SB_REGION, "local");
    assert.equal(found.MODEL, "a/b");
    assert.equal(found.EMPTY, "", "an empty setting may mean something");
    assert.match(found.SB_EXECUTION_ID ?? "", /^[0-9a-f-]{36}$/);
  });
});

Deno.test("local workers: another file can take the place of a function's agent.ts", async () => {
  const agentOf = async (stack: TestStack): Promise<string | null> => {
    const response = await fetch(`${stack.url}/functions/v1/default_export`);
    await response.body?.cancel();
    return response.headers.get("x-agent");
  };
  const workers = { probe: 0, broken: 0, default_export: 0 };
  assert.equal(await withLocalStack({ functions, workers }, agentOf), "the developer's own");
  const agentFile = new URL("../fixtures/agents/other.ts", import.meta.url);
  assert.equal(await withLocalStack({ functions, workers, agentFile }, agentOf), "another");
});

Deno.test("local workers: what the platform lacks is missing, and Deno.exit does nothing", async () => {
  await withLocalStack({ functions }, async (stack) => {
    const { body } = await text(stack, "probe/globals");
    assert.deepEqual(JSON.parse(body), { present: [], listenTls: false, thenable: true });
    assert.equal((await text(stack, "default_export/a")).body, "fetched /default_export/a");
  });
});

Deno.test("local workers: a lock file has the packages of the function's deno.json; another Deno has none", async () => {
  await withLocalStack({}, async (stack) => {
    await (await fetch(`${stack.url}/functions/v1/agent_websocket/health`)).body?.cancel();
  });
  const [flag = ""] = lockArgs("agent_websocket", Deno.execPath());
  const { specifiers } = JSON.parse(await Deno.readTextFile(flag.replace("--lock=", "")));
  const { imports } = JSON.parse(read("supabase/functions/agent_websocket/deno.json"));
  assert.ok(Object.keys(specifiers).length > 0);
  for (const specifier of Object.keys(specifiers)) {
    assert.ok(Object.values(imports).includes(specifier), specifier);
  }
  assert.deepEqual(lockArgs("agent_websocket", "/elsewhere/deno"), ["--no-lock"]);
});

Deno.test("local workers: one that cannot boot is 503 BOOT_ERROR, and harms no other", async () => {
  await withLocalStack({ functions, workers: { broken: 1 } }, async (stack) => {
    assert.ok(stack.stderr.some((line) => /^\[broken#1\] .*broken on purpose/.test(line)));
    assert.ok(stack.stderr.includes("[broken#1] could not boot: exit code 1"));
    const { status, body } = await text(stack, "broken");
    assert.equal(status, 503);
    assert.equal(JSON.parse(body).code, "BOOT_ERROR");
    assert.equal((await text(stack, "probe/request")).status, 200);
  });
});

Deno.test("local workers: a crash answers 500 WORKER_ERROR, and the worker is replaced", async () => {
  await withLocalStack({ functions }, async (stack) => {
    const { status, body } = await text(stack, "probe/crash");
    assert.equal(status, 500);
    assert.equal(JSON.parse(body).code, "WORKER_ERROR");
    assert.ok(stack.stderr.includes("[probe#1] crashed: exit code 1"), stack.workerLogs.join("\n"));
    await eventually("a new worker", () => live(stack).includes(2));
    assert.equal((await text(stack, "probe/request")).status, 200);
  });
});

Deno.test("local workers: over 256 MB of heap is 546 WORKER_LIMIT", async () => {
  await withLocalStack({ functions }, async (stack) => {
    const { status, body } = await text(stack, "probe/memory");
    assert.equal(status, 546, stack.workerLogs.join("\n"));
    assert.equal(JSON.parse(body).code, "WORKER_LIMIT");
  });
});

Deno.test("local workers: at half the wall clock a worker retires, and without work it is dropped early", async () => {
  await withLocalStack({ functions, wallClockMs: 6000 }, async (stack) => {
    const first = await ask(stack);
    // An upgraded socket counts as a finished request, so it does not keep the worker alive.
    const socket = new WireClient(`${stack.wsUrl}/functions/v1/probe/socket`);
    await socket.next(/^worker/);
    await eventually("the next worker", () => live(stack).includes(2), 5900);
    assert.equal(await socket.next(/^unload/), "unload early_drop");
    await socket.end();
    assert.notEqual((await ask(stack)).worker, first.worker);
    await eventually("its end", () => stack.workerLogs.includes("[probe#1] ended: early_drop"));
  });
});

Deno.test("local workers: waitUntil keeps a retired worker to 90 %, where beforeunload comes, and to 100 %", async () => {
  await withLocalStack({ functions, wallClockMs: 6000 }, async (stack) => {
    const socket = new WireClient(`${stack.wsUrl}/functions/v1/probe/socket?hold`);
    const mine = (await socket.next(/^worker/)).slice("worker ".length);
    const isRetired = (): boolean =>
      stack.workers().some((one) => one.function === "probe" && one.worker === 1 && one.state === "retired");
    await eventually("its retirement", isRetired);
    const retiredAt = performance.now();
    await eventually("the next worker", () => live(stack).includes(2));
    assert.notEqual((await ask(stack)).worker, mine);
    assert.equal(await socket.next(/^unload/), "unload wall_clock");
    // It retires after half of its time.
    assert.ok(performance.now() - retiredAt > 700);
    // No close frame, because the process was killed. Deno's client reports 0 where a browser reports 1006.
    assert.deepEqual(await socket.end(), { code: 0, reason: "" });
    await eventually("its end", () => stack.workerLogs.includes("[probe#1] killed: wall clock"));
  });
});

Deno.test("local workers: a retired worker goes when its waitUntil promise is settled", async () => {
  await withLocalStack({ functions }, async (stack) => {
    assert.deepEqual(await text(stack, "probe/hold?ms=500"), { status: 200, body: "held" });
    const slow = text(stack, "probe/slow?ms=300");
    await eventually("a request that runs", () => text(stack, "probe/request"));
    assert.ok(stack.disturb("probe", "beforeunload", { reason: "cpu" }));
    assert.equal(
      stack.workers().find(({ worker, function: name }) => name === "probe" && worker === 1)?.state,
      "retired",
    );
    assert.equal((await slow).body, "slow");
    await eventually("its end", () => stack.workerLogs.includes("[probe#1] ended: early_drop"));
    assert.deepEqual(
      stack.workerLogs.filter((line) => line.startsWith("[probe#1]")),
      ["[probe#1] unload cpu", "[probe#1] unload early_drop", "[probe#1] ended: early_drop"],
    );
  });
});

Deno.test("local workers: the end of the stack is beforeunload termination, and waits for waitUntil", async () => {
  const { socket, logs } = await withLocalStack({ functions, stopGraceMs: 60_000 }, async (stack) => {
    const socket = new WireClient(`${stack.wsUrl}/functions/v1/probe/socket`);
    await socket.next(/^worker/);
    assert.equal((await text(stack, "probe/hold?ms=700")).body, "held");
    const before = performance.now();
    await stack.stop();
    const took = performance.now() - before;
    assert.ok(took > 400 && took < 30_000, `${took} ms`);
    return { socket, logs: stack.workerLogs };
  });
  assert.equal(await socket.next(/^unload/), "unload termination");
  await socket.end();
  assert.ok(logs.includes("[probe#1] unload termination"));
});

Deno.test("local workers: hooks over HTTP list, rotate and kill them", async () => {
  await withLocalStack({ functions, testHooks: true }, async (stack) => {
    const post = async (body: unknown): Promise<number> => {
      const response = await fetch(`${stack.url}/__local/worker`, {
        method: "POST",
        body: JSON.stringify(body),
      });
      await response.body?.cancel();
      return response.status;
    };
    const listed: { function: string; worker: number; state: string }[] =
      await (await fetch(`${stack.url}/__local/workers`)).json();
    assert.ok(listed.some((one) => one.function === "probe" && one.worker === 1 && one.state === "live"));
    assert.equal(await post({ function: "probe", worker: 1, action: "beforeunload", reason: "memory" }), 200);
    await eventually("the reason", () => stack.workerLogs.includes("[probe#1] unload memory"));
    await eventually("the next worker", () => live(stack).includes(2));
    assert.equal(await post({ function: "probe", worker: 2, action: "kill" }), 200);
    await eventually("the one after", () => live(stack).includes(3));
    assert.equal(await post({ function: "probe", worker: 99, action: "kill" }), 404);
    assert.equal(await post({ function: "probe", action: "dance" }), 400);
  });
  await withLocalStack({ functions }, async (stack) => {
    assert.equal(
      (await fetch(`${stack.url}/__local/workers`).then((response) => response.text().then(() => response)))
        .status,
      404,
    );
  });
});
