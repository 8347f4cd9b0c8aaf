/** The settings of the local stack from the environment and `.env`. */

import assert from "node:assert/strict";
import { readSettings, SettingsError, withDotEnv } from "../../local/settings.ts";

Deno.test("local settings: `.env` adds to the environment, and what is set outside of it wins", async () => {
  const path = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(path, '# the model\nMODEL=a/b\nPORT=1\nAGENT_NAME="Ines: # one"\n');
    const env = await withDotEnv({ PORT: "2" }, path);
    assert.deepEqual(env, { MODEL: "a/b", PORT: "2", AGENT_NAME: "Ines: # one" });
  } finally {
    await Deno.remove(path);
  }
  assert.deepEqual(await withDotEnv({ PORT: "2" }, path), { PORT: "2" });
});

Deno.test("local settings: an empty value is not set, and every wrong one is named", () => {
  const { PORT, LOCAL_HOST, LOCAL_WORKERS, LOCAL_WALL_CLOCK_MS, LOCAL_TEST_HOOKS, ...others } = readSettings({
    PORT: "",
  });
  const { LOCAL_REALTIME_MESSAGES_PER_SECOND } = others;
  assert.deepEqual(
    {
      PORT,
      LOCAL_HOST,
      LOCAL_WORKERS,
      LOCAL_WALL_CLOCK_MS,
      LOCAL_TEST_HOOKS,
      LOCAL_REALTIME_MESSAGES_PER_SECOND,
    },
    {
      PORT: 54_321,
      LOCAL_HOST: "127.0.0.1",
      LOCAL_WORKERS: 2,
      LOCAL_WALL_CLOCK_MS: 0,
      LOCAL_TEST_HOOKS: "0",
      LOCAL_REALTIME_MESSAGES_PER_SECOND: 100,
    },
  );
  assert.equal(readSettings({ SESSION_STORE: "memory" }).LOCAL_WORKERS, 1);
  assert.equal(readSettings({ DATABASE_URL: "none" }).LOCAL_WORKERS, 1);
  assert.equal(readSettings({ DATABASE_URL: "postgres://localhost/agent" }).LOCAL_WORKERS, 2);
  assert.throws(
    () => readSettings({ DATABASE_URL: "mysql://x/y" }),
    /DATABASE_URL must be `none`, or a URL such as/,
  );
  assert.throws(() => readSettings({ PORT: "0x10", LOCAL_TEST_HOOKS: "yes" }), (error) => {
    assert.ok(error instanceof SettingsError);
    assert.match(
      error.message,
      /PORT must be a whole number .*, not "0x10"; LOCAL_TEST_HOOKS must be 0 or 1, not "yes"$/,
    );
    return true;
  });
});
