import assert from "node:assert/strict";
import { RateLimiter } from "../../../supabase/functions/_shared/guard/rate_limiter.ts";
import { createNotifyRoutes } from "../../../supabase/functions/_shared/http/notify_routes.ts";
import { Notifier } from "../../../supabase/functions/_shared/notify/notifier.ts";
import { FakeVerifier } from "../../support/fake_verifier.ts";
import { ManualClock } from "../../support/manual_clock.ts";
import { RecordingLog } from "../../support/recording_log.ts";

interface TestNotify {
  clock: ManualClock;
  verifier: FakeVerifier;
  post(token: string, forwardedFor?: string): Promise<Response>;
  /** The number of tokens that were checked. */
  verified(): number;
}

function startNotify(): TestNotify {
  const clock = new ManualClock();
  const verifier = new FakeVerifier(clock);
  const log = new RecordingLog();
  let verified = 0;
  const ids = { uuid: () => crypto.randomUUID(), secret: () => "" };
  const handle = createNotifyRoutes({
    clock,
    log,
    relay: { status: "ok" },
    store: { name: "memory" },
    approver: { decide: () => Promise.reject(new Error("not asked")) },
    notifier: new Notifier({
      clock,
      ids,
      log,
      relay: { publish: () => Promise.resolve() },
      store: () => Promise.resolve(undefined),
      call: () => {},
      topicOf: () => "topic",
      everyoneTopic: "everyone",
    }),
    verifier: {
      verify: (token, address) => {
        verified++;
        return verifier.verify(token, address);
      },
    },
    rateLimiter: new RateLimiter(clock, { perMinute: 6, burst: 6 }),
    trustedProxies: { header: undefined, proxyHops: 1 },
    isSecretKey: (candidate) => Promise.resolve(candidate === "secret"),
    isPublishableKey: () => false,
  });
  const post = async (token: string, forwardedFor = "192.0.2.1"): Promise<Response> =>
    await handle(
      new Request("http://localhost/notify_websocket", {
        method: "POST",
        headers: {
          authorization: `Bearer ${token}`,
          "content-type": "application/json",
          "x-forwarded-for": forwardedFor,
        },
        body: JSON.stringify({ user_id: "ann", message: "Hi" }),
      }),
    );
  return { clock, verifier, post, verified: () => verified };
}

Deno.test("[NT4] [LM11] a post that is sent when Retry-After is over is taken", async () => {
  const { clock, verifier, post } = startNotify();
  verifier.admit("ann's", "ann");
  for (let count = 0; count < 6; count++) assert.equal((await post("ann's")).status, 202);
  const refused = await post("ann's");
  assert.equal(refused.status, 429);
  const seconds = Number(refused.headers.get("retry-after"));
  assert.equal(seconds, 10);
  clock.advance(seconds * 1000);
  assert.equal((await post("ann's")).status, 202);
});

Deno.test("[NT4] [LM10] an address whose tokens are refused has no more of them checked; keys and other addresses do", async () => {
  const { clock, verifier, post, verified } = startNotify();
  verifier.admit("ann's", "ann");
  const statuses: number[] = [];
  for (let count = 0; count < 10; count++) {
    statuses.push((await post("forged", `${count}.1.1.1, 192.0.2.1`)).status);
  }
  assert.deepEqual(statuses, [...Array(6).fill(401), ...Array(4).fill(429)]);
  assert.equal(verified(), 6);
  assert.equal((await post("ann's")).status, 429);
  assert.equal((await post("secret")).status, 202);
  assert.equal((await post("ann's", "192.0.2.2")).status, 202);
  clock.advance(10_000);
  assert.equal((await post("ann's")).status, 202);
});

Deno.test("[AU11] the token of a post is checked under the address of its sender", async () => {
  const { verifier, post } = startNotify();
  verifier.admit("ann's", "ann");
  await post("ann's", "203.0.113.9, 192.0.2.7");
  assert.deepEqual(verifier.addresses, ["192.0.2.7"]);
});
