import assert from "node:assert/strict";
import { AgentError } from "../../../supabase/functions/_shared/errors.ts";
import { TokenVerdicts } from "../../../supabase/functions/_shared/platform/token_verdicts.ts";
import { ManualClock } from "../../support/manual_clock.ts";

const good = (): Promise<void> => Promise.resolve();
const bad = (): Promise<void> => Promise.reject(new AgentError("unauthorized", "refused"));
const down = (): Promise<void> => Promise.reject(new AgentError("store_unavailable", "down"));
const unexpected = (): Promise<void> => Promise.reject(new Error("asked again"));

Deno.test("a verdict is remembered for half a minute from when it was asked for, good or bad", async () => {
  const clock = new ManualClock();
  const verdicts = new TokenVerdicts(clock);
  await verdicts.of("good", good);
  await assert.rejects(verdicts.of("bad", bad), { message: "refused" });
  clock.advance(29_999);
  await verdicts.of("good", unexpected);
  await assert.rejects(verdicts.of("bad", unexpected), { message: "refused" });
  clock.advance(1);
  await assert.rejects(verdicts.of("good", bad), { message: "refused" });
  await verdicts.of("bad", good);
});

Deno.test("a failure to ask is not remembered", async () => {
  const verdicts = new TokenVerdicts(new ManualClock());
  await assert.rejects(verdicts.of("token", down), { message: "down" });
  await assert.rejects(verdicts.of("token", unexpected), { message: "asked again" });
  await verdicts.of("token", good);
});

Deno.test("those who ask while it is being asked wait for the same answer", async () => {
  const verdicts = new TokenVerdicts(new ManualClock());
  const [asked, answer] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const first = verdicts.of("token", () => {
    asked.resolve();
    return answer.promise;
  });
  // Tokens are hashed on other threads, so the second may be ready before the first.
  await asked.promise;
  const second = verdicts.of("token", unexpected);
  answer.resolve();
  await Promise.all([first, second]);
});

Deno.test("no more than a thousand verdicts are remembered, the newest", async () => {
  const verdicts = new TokenVerdicts(new ManualClock());
  for (let index = 0; index <= 1000; index++) await verdicts.of(`token ${index}`, good);
  await verdicts.of("token 1", unexpected);
  await assert.rejects(verdicts.of("token 0", unexpected), { message: "asked again" });
});
