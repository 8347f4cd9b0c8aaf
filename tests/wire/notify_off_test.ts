/** A project without notifications: `RELAY=off`. */

import assert from "node:assert/strict";
import { pathToFileURL } from "node:url";
import { type LogLine, withAgent } from "../support/agent_process.ts";
import { bundledFiles, copyFiles } from "../support/deploy_bundle.ts";
import { echo, HandModel } from "../support/hand_model.ts";
import { eventually, withLocalStack } from "../support/local_stack.ts";
import { connect } from "../support/agent_client.ts";

Deno.test("[NT9] with RELAY=off a good post is answered 503, a bad one as ever, and no worker joins Realtime", async () => {
  await using model = new HandModel({ respond: echo });
  await withLocalStack({ env: { RELAY: "off" }, model: { baseUrl: model.baseUrl } }, async (stack) => {
    const functions = `${stack.url}/functions/v1`;
    const relayOf = async (name: string): Promise<unknown> =>
      (await (await fetch(`${functions}/${name}/health`)).json()).relay;
    const post = (body: unknown, apikey = stack.keys.secretKey): Promise<Response> =>
      fetch(`${functions}/notify_websocket`, {
        method: "POST",
        headers: { apikey, "content-type": "application/json" },
        body: JSON.stringify(body),
      });
    await using client = await connect(`${stack.wsUrl}/functions/v1/agent_websocket`);
    assert.equal((await client.answer("Hi")).content, "You said: Hi");
    const targets = [{ session_id: client.welcome.session_id }, { user_id: "ann" }, { broadcast: true }];
    for (const target of targets) {
      const refused = await post({ ...target, message: "x", id: "n1" });
      const { code, detail } = await refused.json();
      assert.deepEqual([refused.status, code], [503, "relay_unavailable"]);
      assert.match(detail, /switched off \(RELAY=off\)/);
      // A retry cannot succeed, so there is no retry-after header.
      assert.equal(refused.headers.get("retry-after"), null);
    }
    const others = [await post({}), await post({ broadcast: true, message: "x" }, stack.keys.publishableKey)];
    assert.deepEqual(others.map(({ status }) => status), [400, 401]);
    await Promise.all(others.map(({ body }) => body?.cancel()));
    assert.deepEqual([await relayOf("agent_websocket"), await relayOf("notify_websocket")], ["off", "off"]);
    assert.deepEqual(stack.realtime.stats().connections, []);
    assert.equal(stack.realtime.stats().published, 0);
  });
});

Deno.test("[NT9] with RELAY=off supabase-js is not even loaded for a session", async () => {
  const folder = pathToFileURL(`${await Deno.makeTempDir()}/`);
  try {
    await copyFiles(bundledFiles("agent_websocket"), folder);
    const directory = new URL("supabase/functions/agent_websocket/", folder);
    // Without this import, loading supabase-js fails and leaves a line in the log.
    const config = new URL("deno.json", directory);
    const { imports } = JSON.parse(await Deno.readTextFile(config));
    delete imports["@supabase/supabase-js"];
    await Deno.writeTextFile(config, JSON.stringify({ imports }));
    await using model = new HandModel({ respond: echo });
    const run = async (relay: string, isTold: (log: LogLine[]) => boolean): Promise<void> => {
      const env = {
        RELAY: relay,
        SESSION_STORE: "memory",
        OPENROUTER_BASE_URL: model.baseUrl,
        SUPABASE_URL: "http://127.0.0.1:9",
        SUPABASE_SECRET_KEYS: JSON.stringify({ default: "sb_secret_of_this_test" }),
      };
      await withAgent({ directory, env }, async (agent) => {
        await using client = await connect(agent.wsUrl);
        await client.answer("Hi");
        assert.equal((await agent.health()).relay, relay === "off" ? "off" : "connecting");
        await eventually(`what RELAY=${relay} does`, () => isTold(agent.log));
      });
    };
    const isLost = ({ event, reason }: LogLine): boolean =>
      event === "relay_lost" && String(reason).includes("Cannot load supabase-js");
    await run("auto", (log) => log.some(isLost));
    await run("off", (log) => !log.some(({ event }) => event.startsWith("relay_")));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
