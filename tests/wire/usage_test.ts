/** The accounts of requests to the model on the whole stack: real functions in real processes, Supabase Lite, REST. */

import assert from "node:assert/strict";
import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import { connect, terminal } from "../support/agent_client.ts";
import { type Exchange, HandModel } from "../support/hand_model.ts";
import { eventually, withLocalStack } from "../support/local_stack.ts";

const BUDGET = 300;
const MAX_TOKENS = 100;
/** Eight tokens. */
const TEXT = "abcd".repeat(8);

function promptTokens({ messages }: Exchange): number {
  return Math.ceil(messages.reduce((chars, { content }) => chars + content.length, 0) / 4);
}

Deno.test("[US1] [US3] [US4] [US5] cancelled, cut and killed over two processes: a budget holds, and the rows say where it went", async () => {
  await using model = new HandModel();
  await withLocalStack({
    lite: true,
    workers: { agent_websocket: 2 },
    model: { baseUrl: model.baseUrl },
    env: {
      TURN_LEASE_MS: "1500",
      CHECKPOINT_INTERVAL_MS: "100",
      RATE_LIMIT_PER_MINUTE: "0",
      DAILY_TOKEN_BUDGET: String(BUDGET),
      MAX_TOKENS: String(MAX_TOKENS),
      MAX_RETRIES: "0",
      SYSTEM_PROMPT: "Be brief.",
    },
    testHooks: true,
  }, async (stack) => {
    const agent = `${stack.wsUrl}/functions/v1/agent_websocket`;
    const token = await stack.token({ claims: { sub: "ann" } });
    const as = { headers: { authorization: `Bearer ${token}` } };
    const said = new Map<Exchange, number>();
    const spent = (): number =>
      model.exchanges.reduce((sum, exchange) => sum + promptTokens(exchange) + (said.get(exchange) ?? 0), 0);
    const check = (): void => {
      const largest = Math.max(0, ...model.exchanges.map(promptTokens));
      assert.ok(spent() <= BUDGET + largest, `${spent()} of ${BUDGET} + ${largest}`);
    };
    /** The request for a question; undefined if the budget does not allow it. */
    const asked = async (
      client: Awaited<ReturnType<typeof connect>>,
      id: string,
    ): Promise<Exchange | undefined> => {
      const before = model.exchanges.length;
      client.ask("x".repeat(80), { id });
      await eventually(
        "a request, or an end",
        () => model.exchanges.length > before || client.frames.some(terminal(id)) || undefined,
      );
      check();
      return model.exchanges[before];
    };

    // Killed in the answer: another process goes on.
    await using doomed = await connect(`${agent}?stream=true`, as);
    const first = await asked(doomed, "killed") ?? assert.fail();
    first.say(TEXT);
    said.set(first, 8);
    await doomed.waitFor(() => doomed.textOf("killed") === TEXT);
    assert.ok(stack.disturb("agent_websocket", "kill"));
    await doomed.end();
    await using client = await connect(`${agent}?stream=true&${doomed.resumeQuery()}`, as);
    const over = await eventually("the continuation", () => model.exchanges[1]);
    over.say(TEXT);
    said.set(over, 8);
    await client.waitFor(() =>
      client.textOf("killed").endsWith(TEXT + TEXT) || client.textOf("killed") !== ""
    );
    over.breakOff();
    const cut = await client.waitFor(terminal("killed"));
    assert.deepEqual([cut.type, cut.code], ["error", "model_stream_broken"]);
    assert.equal((cut.usage as { estimated?: true }).estimated, true);
    check();

    // Asked and cancelled, until nothing is left.
    let refused: Record<string, unknown> | undefined;
    let cancelled = 0;
    for (let n = 0; n < 40 && refused === undefined; n++) {
      const id = `q${n}`;
      if (await asked(client, id) !== undefined) {
        client.command("cancel", { id }).catch(() => {});
        cancelled++;
      }
      const end = await client.waitFor((frame) =>
        frame.in_reply_to === id && (terminal(id)(frame) || frame.type === "error")
      );
      if (end.type === "error") refused = end;
      else assert.equal((end.usage as { estimated?: true }).estimated, true);
      check();
    }
    assert.equal(refused?.code, "budget_exceeded");
    assert.ok(Number(refused?.retry_after_ms) > 0);
    assert.ok(cancelled >= 1);

    // Supabase Lite knows only the shared secret.
    const reader = async (sub: string): Promise<SupabaseClient> => {
      const token = await stack.token({ alg: "HS256", claims: { sub } });
      return createClient(stack.url, stack.keys.publishableKey, {
        accessToken: () => Promise.resolve(token),
      });
    };
    const rest = await reader("ann");
    const rows = await eventually("all rows to be settled", async () => {
      const { data } = await rest.from("agent_usage").select("*").order("created_at");
      return data?.every(({ outcome }) => outcome !== "open") ? data : undefined;
    });
    const outcomes = rows.map(({ outcome }) => outcome);
    assert.deepEqual(outcomes, ["lost", "failed", ...Array(cancelled).fill("cancelled")]);
    assert.ok(rows[0]?.reserved_tokens > 0, "a killed process may have used all of it");
    assert.ok(rows.every((row) => row.user_id === "ann" && row.estimated === true));
    assert.deepEqual((await (await reader("bob")).from("agent_usage").select("*")).data, []);
  });
});
