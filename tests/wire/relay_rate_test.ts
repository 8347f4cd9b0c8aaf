/** Watched answers on a Realtime with the rate limit of a real project. */

import assert from "node:assert/strict";
import { type AgentClient, connect, of, terminal } from "../support/agent_client.ts";
import { ClockworkModel } from "../support/clockwork_model.ts";
import { eventually, type TestStack, withLocalStack } from "../support/local_stack.ts";
import { valueOf } from "../support/prometheus.ts";

const ENV = {
  RATE_LIMIT_PER_MINUTE: "0",
  MAX_CONNECTIONS: "0",
  MAX_CONNECTIONS_PER_USER: "0",
  DRAIN_TIMEOUT_MS: "200",
};
/** The longest delay of a watcher's text that is allowed on a busy machine. */
const MAX_AGE_MS = 4000;

interface Watched {
  asker: AgentClient;
  watcher: AgentClient;
  queryId: string;
}

interface World {
  stack: TestStack;
  model: ClockworkModel;
  /** Opens two clients of one session on two workers: an asker and a watcher. Their workers swap with each `index`. */
  open(index: number): Promise<Watched>;
}

/** Two workers on one database, and a model that sends 20 words a second. */
async function withWorld(words: number, body: (world: World) => Promise<void>): Promise<void> {
  await using model = new ClockworkModel({ words, perSecond: 20 });
  const options = {
    lite: true,
    workers: { agent_websocket: 2 },
    model: { baseUrl: model.baseUrl },
    env: ENV,
    testHooks: true,
  };
  await withLocalStack(options, async (stack) => {
    const url = `${stack.wsUrl}/functions/v1/agent_websocket?stream=true`;
    await using clients = new AsyncDisposableStack();
    await body({
      stack,
      model,
      async open(index: number): Promise<Watched> {
        const first = clients.use(await connect(url));
        const second = clients.use(await connect(`${url}&${first.resumeQuery()}`));
        const [asker, watcher] = index % 2 === 0 ? [first, second] : [second, first];
        return { asker, watcher, queryId: "" };
      },
    });
  });
}

async function askAll(watched: readonly Watched[]): Promise<void> {
  for (const [index, each] of watched.entries()) {
    each.queryId = each.asker.ask(`answer ${index}`);
    await each.asker.waitFor(of("delta"));
  }
}

/** The age of each word of an answer when the watcher received it, in milliseconds. */
function agesOf({ watcher, queryId }: Watched, model: ClockworkModel): number[] {
  return watcher.frames.flatMap((frame, index) =>
    frame.type === "delta" && frame.in_reply_to === queryId
      ? model.ages(String(frame.content), {
        offset: Number(frame.offset),
        at: watcher.arrivals[index] ?? Infinity,
      })
      : []
  ).sort((a, b) => a - b);
}

async function relayMetrics(stack: TestStack): Promise<{ refused: number; taken: number }> {
  const { keys: { secretKey }, url } = stack;
  // Round robin: each worker gets one request.
  const pages = await Promise.all([1, 2].map(async () => {
    const response = await fetch(`${url}/functions/v1/agent_websocket/metrics`, {
      headers: { apikey: secretKey },
    });
    return await response.text();
  }));
  const sum = (outcome: string): number =>
    pages.reduce((sum, page) => sum + valueOf(page, "agent_websocket_relay_posts_total", { outcome }), 0);
  return { refused: sum("refused"), taken: sum("taken") };
}

Deno.test("[RL3] 40 watched answers at two workers: Realtime refuses nothing, closes nothing, and watchers keep up", async () => {
  await withWorld(240, async ({ stack, model, open }) => {
    const watched: Watched[] = [];
    for (let index = 0; index < 40; index++) watched.push(await open(index));
    const before = stack.realtime.stats().published;
    const startedAt = performance.now();
    await askAll(watched);
    for (const { watcher, queryId } of watched) {
      const response = await watcher.waitFor(terminal(queryId), { withinMs: 60_000 });
      assert.equal(watcher.textOf(queryId), response.content);
    }
    const seconds = (performance.now() - startedAt) / 1000;
    const { published, refused, closed } = stack.realtime.stats();
    assert.deepEqual({ refused, closed }, { refused: 0, closed: 0 });
    assert.ok(
      (published - before) / seconds <= 2 * 20 + 2,
      `${(published - before) / seconds} posts a second`,
    );
    const ages = watched.flatMap((each) => agesOf(each, model)).sort((a, b) => a - b);
    const quantile = (share: number): number => ages[Math.floor(share * (ages.length - 1))] ?? Infinity;
    assert.ok(ages.length > 40 * 150, `${ages.length} words were shown as they came`);
    assert.ok(quantile(0.99) < MAX_AGE_MS, `${quantile(0.99)} ms, half of them within ${quantile(0.5)} ms`);
    assert.equal((await relayMetrics(stack)).refused, 0);
    assert.ok(stack.workerLogs.every((line) => !/relay_(lost|refused|failed)/.test(line)));
  });
});

Deno.test("[RL4] [DU8] Realtime over its limit for a while: workers are silent, come back, and nothing durable is lost", async () => {
  await withWorld(120, async ({ stack, open }) => {
    const watched: Watched[] = [];
    for (let index = 0; index < 8; index++) watched.push(await open(index));
    await askAll(watched);
    for (const { watcher } of watched) await watcher.waitFor(of("delta"));
    const linesBefore = stack.workerLogs.length;
    stack.realtime.overload();
    await new Promise((resolve) => setTimeout(resolve, 3000));
    const { refused } = stack.realtime.stats();
    // Per worker: the posts in flight, and then one retry after 1 s and one after 2 s.
    assert.ok(refused > 0 && refused <= 2 * (9 + 3), `${refused} posts were refused`);
    stack.realtime.relieve();
    for (const { asker, watcher, queryId } of watched) {
      const response = await asker.waitFor(terminal(queryId), { withinMs: 30_000 });
      // At the latest by the head poll, which each worker runs every 15 seconds.
      const seen = await watcher.waitFor(terminal(queryId), { withinMs: 20_000 });
      assert.deepEqual([seen.seq, seen.content], [response.seq, response.content]);
      assert.equal(watcher.textOf(queryId), response.content);
    }
    const lines = stack.workerLogs.slice(linesBefore).filter((line) => /relay_/.test(line));
    assert.ok(lines.length <= 40, lines.join("\n"));
    await eventually("the relay", async () => {
      const healths = await Promise.all(
        [1, 2].map(async () =>
          await (await fetch(`${stack.url}/functions/v1/agent_websocket/health`)).json()
        ),
      );
      return healths.every(({ relay }) => relay === "ok");
    }, 20_000);
    const last = watched[0];
    assert.ok(last !== undefined);
    const from = last.watcher.frames.length;
    last.queryId = last.asker.ask("once more");
    await last.watcher.waitFor(of("delta"), { from });
  });
});
