/** What an operator sees of the function: health, metrics, and an invalid environment. */

import assert from "node:assert/strict";
import { withAgent } from "../support/agent_process.ts";
import { eventually } from "../support/local_stack.ts";
import { parsePrometheus } from "../support/prometheus.ts";
import { rawRequest } from "../support/raw_socket.ts";
import { connect } from "../support/agent_client.ts";

const SECRET_KEY = "sb_secret_of_this_test";
const LEGACY_KEY = "legacy-service-role-key";
const KEYS = {
  SUPABASE_SECRET_KEYS: JSON.stringify({ default: SECRET_KEY, spare: "sb_secret_spare" }),
  SUPABASE_SERVICE_ROLE_KEY: LEGACY_KEY,
  SUPABASE_PUBLISHABLE_KEYS: JSON.stringify({ default: "sb_publishable_of_this_test" }),
};

Deno.test("[OP1] /health tells what the worker holds, while it holds it", async () => {
  await withAgent({}, async (agent) => {
    const idle = await agent.health();
    assert.deepEqual(Object.keys(idle).sort(), [
      "connections",
      "relay",
      "running_turns",
      "sessions",
      "status",
      "store",
      "version",
      "watchers",
      "worker_age_ms",
    ]);
    assert.equal(idle.status, "ok");
    assert.equal(idle.store, "memory");
    assert.match(String(idle.version), /^\d+\.\d+\.\d+$/);
    assert.deepEqual([idle.sessions, idle.connections, idle.running_turns], [0, 0, 0]);

    const first = await connect(agent.wsUrl);
    const second = await connect(agent.wsUrl);
    const busy = await agent.health();
    assert.deepEqual([busy.sessions, busy.connections], [2, 2]);
    assert.ok(Number(busy.worker_age_ms) >= Number(idle.worker_age_ms));

    await first.close();
    await second.close();
    // A session outlives its connection.
    await eventually("the end of both connections", async () => (await agent.health()).connections === 0);
    assert.equal((await agent.health()).sessions, 2);
  });
});

Deno.test("[OP2] /metrics needs a secret key, and a publishable one is none", async () => {
  await withAgent({ env: KEYS }, async ({ url }) => {
    const attempts: readonly [headers: Record<string, string>, status: number][] = [
      [{}, 401],
      [{ apikey: "" }, 401],
      [{ apikey: "sb_secret_of_somebody_else" }, 401],
      [{ apikey: "sb_publishable_of_this_test" }, 401],
      [{ apikey: SECRET_KEY.slice(0, -1) }, 401],
      [{ authorization: `Basic ${SECRET_KEY}` }, 401],
      [{ authorization: "Bearer" }, 401],
      [{ apikey: SECRET_KEY }, 200],
      [{ apikey: "sb_secret_spare" }, 200],
      [{ apikey: LEGACY_KEY }, 200],
      [{ authorization: `Bearer ${SECRET_KEY}` }, 200],
      [{ authorization: `bearer ${LEGACY_KEY}` }, 200],
    ];
    for (const [headers, status] of attempts) {
      const response = await fetch(`${url}/metrics`, { headers });
      const text = await response.text();
      assert.equal(response.status, status, JSON.stringify(headers));
      if (status === 401) assert.equal(JSON.parse(text).code, "unauthorized");
      assert.doesNotMatch(text, /sb_secret|legacy-service/);
    }
  });
  await withAgent({}, async ({ url }) => {
    const response = await fetch(`${url}/metrics`, { headers: { apikey: "" } });
    assert.equal(response.status, 401, "without a configured secret key every request is refused");
    await response.body?.cancel();
  });
});

Deno.test("[OP2] [MB1] /metrics is text that Prometheus can read, and counts what happened", async () => {
  await withAgent({ env: KEYS }, async ({ url, wsUrl }) => {
    const read = async (): Promise<ReturnType<typeof parsePrometheus>> => {
      const response = await fetch(`${url}/metrics`, { headers: { apikey: SECRET_KEY } });
      assert.match(response.headers.get("content-type") ?? "", /^text\/plain; version=0\.0\.4/);
      return parsePrometheus(await response.text());
    };
    const before = await read();
    for (const { name, type, samples } of before.values()) {
      assert.match(name, /^agent_websocket_[a-z_]+$/);
      assert.equal(type, name.endsWith("_total") ? "counter" : "gauge", name);
      for (const { value } of samples) assert.ok(Number.isFinite(value), name);
    }

    {
      await using client = await connect(wsUrl);
      await client.command("ping");
      client.send("no JSON");
      client.send({ type: "no such type", content: "x" });
      await client.waitFor((frame) => frame.code === "unknown_type");
    }
    const after = await eventually("the end of the connection", async () => {
      const families = await read();
      return families.get("agent_websocket_connections_closed_total")?.samples.length === 1 && families;
    });
    const value = (name: string, labels = {}): number | undefined =>
      after.get(`agent_websocket_${name}`)?.samples
        .find((sample) => JSON.stringify(sample.labels) === JSON.stringify(labels))?.value;
    assert.equal(value("memory_limit_bytes"), 160_000_000);
    const kept = value("memory_kept_bytes") ?? 0;
    assert.ok(kept > 1000 && kept < 10_000, "a session without its connection");
    assert.equal(value("connections_opened_total"), 1);
    assert.equal(value("frames_received_total"), 3);
    assert.equal(value("errors_sent_total", { code: "invalid_json" }), 1);
    assert.equal(value("errors_sent_total", { code: "unknown_type" }), 1);
    assert.equal(value("sessions_opened_total", { how: "created" }), 1);
    assert.equal(value("sessions"), 1);
    assert.equal(value("connections"), 0);
  });
});

Deno.test("[OP3] a bad environment is 503 to everything, and one line of the log names every mistake", async () => {
  const env = {
    AUTH_MODE: "everybody",
    MAX_TOKENS: "-5",
    SESSION_TIMEOUT: "soon",
    STALL_TIMEOUT_MS: "1e3",
    SUPABASE_SECRET_KEYS: "sb_secret_not_in_json",
    OPENROUTER_BASE_URL: "",
  };
  await withAgent({ env }, async (agent) => {
    const path = "/agent_websocket";
    const plain = { Upgrade: undefined, Connection: undefined };
    const answers = [
      await rawRequest(agent.port, { target: path }),
      await rawRequest(agent.port, { target: path, headers: plain }),
      await rawRequest(agent.port, { target: `${path}/health`, headers: plain }),
      await rawRequest(agent.port, { target: `${path}/metrics`, headers: plain }),
      await rawRequest(agent.port, {
        method: "PUT",
        target: path,
        headers: { ...plain, "Content-Length": "0" },
      }),
    ];
    for (const { status, headers, body } of answers) {
      assert.equal(status, 503);
      assert.equal(headers.get("content-type"), "application/problem+json");
      // The response does not name the invalid settings. Only the operator sees them, in the log.
      for (const name of Object.keys(env)) assert.doesNotMatch(body, new RegExp(name));
    }
    const [line, ...more] = agent.log;
    assert.deepEqual(more, []);
    assert.equal(line?.event, "config_invalid");
    assert.equal(line?.level, "error");
    const named = (line?.problems as string[]).map((problem) => problem.split(":")[0]).sort();
    assert.deepEqual(named, [
      "AUTH_MODE",
      "MAX_TOKENS",
      "OPENROUTER_API_KEY",
      "SESSION_TIMEOUT",
      "STALL_TIMEOUT_MS",
      "SUPABASE_SECRET_KEYS",
      "SUPABASE_URL",
    ]);
    assert.doesNotMatch(agent.output.join("\n"), /sb_secret|everybody/);
  });
});
