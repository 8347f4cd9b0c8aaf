import assert from "node:assert/strict";
import { AgentError } from "../../../supabase/functions/_shared/errors.ts";
import { createNotifyRoutes } from "../../../supabase/functions/_shared/http/notify_routes.ts";
import { RateLimiter } from "../../../supabase/functions/_shared/guard/rate_limiter.ts";
import { createNotifyClient, type NotifyError } from "../../../supabase/functions/_shared/notify/client.ts";
import { Notifier } from "../../../supabase/functions/_shared/notify/notifier.ts";
import type { Delivered, DeliveryRequest } from "../../../supabase/functions/_shared/ports/notifications.ts";
import { FakeVerifier } from "../../support/fake_verifier.ts";
import { ManualClock } from "../../support/manual_clock.ts";

const SESSION = "00000000-0000-4000-8000-000000000001";
const AWAY = new AgentError("store_unavailable", "Cannot reach the session store", { retryable: true });

/** The outcome of a durable notification: it may have been kept although the answer was lost. */
type Outcome = "kept" | "kept, answer lost" | "refused";

interface Opened {
  post(body: unknown): Promise<{ status: number; body: Record<string, unknown>; headers: Headers }>;
  notify: ReturnType<typeof createNotifyClient>;
  /** Ids of the notifications in the log, one for each time they were written. */
  log: string[];
  relayed: string[];
}

function open(outcomes: Outcome[], relayOutcomes: boolean[] = []): Opened {
  const clock = new ManualClock();
  const kept = new Map<string, string>();
  const log: string[] = [];
  const relayed: string[] = [];
  const store = {
    deliver({ id, fingerprint }: DeliveryRequest): Promise<Delivered> {
      const outcome = outcomes.shift() ?? "kept";
      if (outcome === "refused") return Promise.reject(AWAY);
      const before = kept.get(id);
      if (before !== undefined && before !== fingerprint) {
        return Promise.reject(new AgentError("id_conflict", "another"));
      }
      if (before === undefined) log.push(id);
      kept.set(id, fingerprint);
      if (outcome === "kept, answer lost") return Promise.reject(AWAY);
      return Promise.resolve({
        sessions: [{ sessionId: SESSION, seq: log.length }],
        repeated: before !== undefined,
      });
    },
  };
  let ids = 0;
  const routes = createNotifyRoutes({
    clock,
    log: { write: () => {} },
    relay: { status: "ok" },
    store: { name: "postgres" },
    approver: { decide: () => Promise.reject(new Error("not asked")) },
    notifier: new Notifier({
      clock,
      log: { write: () => {} },
      ids: { uuid: () => `made-${++ids}`, secret: () => "" },
      relay: {
        publish: (_topic, { payload }) => {
          relayed.push(JSON.stringify(payload));
          if (relayOutcomes.shift() !== false) return Promise.resolve();
          return Promise.reject(new AgentError("relay_unavailable", "no answer", { retryable: true }));
        },
      },
      topicOf: () => "topic",
      everyoneTopic: "everyone",
      store: () => Promise.resolve(store),
      call: () => {},
    }),
    verifier: new FakeVerifier(clock),
    trustedProxies: { header: undefined, proxyHops: 1 },
    rateLimiter: new RateLimiter(clock, { perMinute: 0, burst: 1 }),
    isSecretKey: (key) => Promise.resolve(key === "secret"),
    isPublishableKey: () => false,
  });
  const fetching = async (input: string | URL | Request, init?: RequestInit): Promise<Response> =>
    await routes(new Request(input, init));
  return {
    log,
    relayed,
    notify: createNotifyClient({ supabaseUrl: "http://project", secretKey: "secret", fetch: fetching }),
    post: async (body) => {
      const response = await fetching("http://project/functions/v1/notify_websocket", {
        method: "POST",
        headers: { apikey: "secret", "content-type": "application/json" },
        body: JSON.stringify(body),
      });
      return { status: response.status, body: await response.json(), headers: response.headers };
    },
  };
}

Deno.test("[NT11] a 503 names the id that makes a retry harmless, also where the sender gave none", async () => {
  for (const outcome of ["kept, answer lost", "refused"] as const) {
    for (const given of [{}, { id: "mine" }]) {
      const { post, log } = open([outcome]);
      const body = { session_id: SESSION, message: "ready", ...given };
      const failed = await post(body);
      assert.deepEqual([failed.status, failed.body.code], [503, "store_unavailable"]);
      assert.equal(failed.headers.get("retry-after"), "1");
      const { id } = failed.body;
      assert.equal(id, "id" in given ? "mine" : "made-1");
      const again = await post({ ...body, id });
      const repeated = outcome === "refused" ? {} : { repeated: true };
      assert.deepEqual([again.status, again.body], [202, { id, durable: true, sessions: 1, ...repeated }]);
      assert.deepEqual(log, [id]);
    }
  }
});

Deno.test("[NT11] [NT8] the client's error has the id, for another attempt; what was not taken at all has none", async () => {
  const { notify, log } = open(["kept, answer lost"]);
  const lost: NotifyError = await notify({ session_id: SESSION, message: "ready" }).then(
    () => assert.fail("taken"),
    (error) => error,
  );
  assert.deepEqual([lost.status, lost.id], [503, "made-1"]);
  const sent = await notify({ session_id: SESSION, message: "ready", id: lost.id ?? "" });
  assert.deepEqual([sent.repeated, log], [true, ["made-1"]]);
  await assert.rejects(notify({ session_id: SESSION, message: "other", id: "made-1" }), {
    status: 409,
    id: undefined,
  });
});

Deno.test("[NT11] [NT7] what goes over the relay alone has an id to be sent again with as well", async () => {
  const { post, relayed } = open([], [false]);
  const failed = await post({ broadcast: true, message: "hello" });
  assert.deepEqual([failed.status, failed.body.code, failed.body.id], [503, "relay_unavailable", "made-1"]);
  const again = await post({ broadcast: true, message: "hello", id: "made-1" });
  assert.equal(again.status, 202);
  // Workers drop a notification with an id that they have already seen.
  assert.equal(relayed[0], relayed[1]);
});

Deno.test("[NT6] the same notification with the keys of its data in another order is a repeat, whatever is in it", async () => {
  const { post, log } = open([]);
  const send = async (data: Record<string, unknown>): Promise<unknown> => {
    const { status, body } = await post({ session_id: SESSION, id: "n", message: { content: "c", data } });
    return status === 202 ? body.repeated ?? false : body.code;
  };
  assert.equal(await send({ a: 1, b: { c: [{ d: 1, e: 2 }], f: null } }), false);
  assert.equal(await send({ b: { f: null, c: [{ e: 2, d: 1 }] }, a: 1 }), true);
  for (
    const other of [{ a: 1 }, { a: 1, b: { c: [{ d: 2, e: 1 }], f: null } }, {
      a: "1",
      b: { c: [], f: null },
    }]
  ) {
    assert.equal(await send(other), "id_conflict");
  }
  assert.deepEqual(log, ["n"]);
  const { status } = await post({ message: { data: { b: 1 }, content: "c" }, id: "m", sessionId: SESSION });
  assert.equal(status, 202);
  const swapped = await post({ id: "m", session_id: SESSION, message: { content: "c", data: { b: 1 } } });
  assert.equal(swapped.body.repeated, true);
});

Deno.test("[NT6] the same holds for a broadcast, and for an activity whose time the server gave", async () => {
  const { post, relayed } = open([]);
  for (
    const [first, second, other] of [
      [
        { broadcast: true, message: { content: "c", data: { a: 1, b: 2 } } },
        { message: { data: { b: 2, a: 1 }, content: "c" }, broadcast: true },
        { broadcast: true, message: { content: "c", data: { a: 2, b: 2 } } },
      ],
      [
        { activity: { type: "system_event", data: { event: "startup", message: "up" } } },
        {
          activity: {
            data: { message: "up", event: "startup" },
            type: "system_event",
            timestamp: "2026-01-01T00:00:00Z",
          },
        },
        { activity: { type: "system_event", data: { event: "shutdown", message: "up" } } },
      ],
    ]
  ) {
    const id = crypto.randomUUID();
    assert.equal((await post({ ...first, id })).body.repeated, undefined);
    assert.equal((await post({ ...second, id })).body.repeated, true);
    assert.equal((await post({ ...other, id })).status, 409);
  }
  assert.equal(relayed.length, 2);
});
