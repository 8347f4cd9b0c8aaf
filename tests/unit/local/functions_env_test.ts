import assert from "node:assert/strict";
import { functionsEnv } from "../../../local/functions_env.ts";
import { createKeys } from "../../../local/keys.ts";

Deno.test("functionsEnv: an empty value reaches the function, but undoes no default of the stack", async () => {
  const env = { TEMPERATURE: "", AUTH_MODE: "", SB_REGION: "", MODEL: "m" };
  const url = "http://127.0.0.1:54321";
  const got = functionsEnv({ env, url, keys: await createKeys({}), hasDatabase: true });
  assert.deepEqual([got.TEMPERATURE, got.AUTH_MODE, got.SB_REGION, got.MODEL], [
    "",
    "optional",
    "local",
    "m",
  ]);
});
