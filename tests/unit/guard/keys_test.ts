import assert from "node:assert/strict";
import { publishableKeyMatcher, secretKeyMatcher } from "../../../supabase/functions/_shared/guard/keys.ts";

Deno.test("a secret key is one of the project's, whole", async () => {
  const isSecretKey = secretKeyMatcher(["sb_secret_one", "sb_secret_two"]);
  assert.deepEqual(
    await Promise.all(["sb_secret_one", "sb_secret_two"].map(isSecretKey)),
    [true, true],
  );
  for (
    const wrong of ["", "sb_secret_", "sb_secret_on", "sb_secret_one ", "SB_SECRET_ONE", "x".repeat(100_000)]
  ) {
    assert.equal(await isSecretKey(wrong), false, wrong);
  }
});

Deno.test("every byte of a digest counts", async () => {
  const isSecretKey = secretKeyMatcher(["sb_secret_one"]);
  for (let guess = 0; guess < 3000; guess++) assert.equal(await isSecretKey(`sb_secret_${guess}`), false);
});

Deno.test("where a project has no secret key none is right, not even an empty one", async () => {
  assert.equal(await secretKeyMatcher([])(""), false);
  assert.equal(await secretKeyMatcher([""])(""), false);
});

Deno.test("a publishable key is one that is listed, or has the form of one", () => {
  const isPublishableKey = publishableKeyMatcher(["the-anon-key"]);
  assert.deepEqual(
    ["the-anon-key", "sb_publishable_other", "the-anon-ke", "", "sb_secret_one", "eyJh.eyJh.AA"].map(
      isPublishableKey,
    ),
    [true, true, false, false, false, false],
  );
});
