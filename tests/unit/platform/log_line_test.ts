import assert from "node:assert/strict";
import { AgentError } from "../../../supabase/functions/_shared/errors.ts";
import { logLine } from "../../../supabase/functions/_shared/platform/log_line.ts";
import { systemIds } from "../../../supabase/functions/_shared/platform/system.ts";
import { maskSecrets } from "../../../supabase/functions/_shared/secrets.ts";
import { sharedSecret, signingKey, userClaims } from "../../support/tokens.ts";

const es256 = await signingKey("ES256", "key-1");
const jwt = await es256.sign(userClaims(0));
const hs256 = await sharedSecret("secret").sign(userClaims(0));
const resume = systemIds().secret();

/** A parsed JSON value, to inspect. */
interface Written {
  readonly [field: string]: Written | undefined;
}

function line(fields: Record<string, unknown>): Written {
  return JSON.parse(logLine({ level: "info", event: "tried", ...fields }, 0));
}

Deno.test("a line begins with its time, and its head cannot be replaced by a field", () => {
  assert.equal(
    logLine({ time: "never", level: "info", event: "tried", a: 1 }, 1_735_689_600_000),
    '{"time":"2025-01-01T00:00:00.000Z","level":"info","event":"tried","a":1}',
  );
});

Deno.test("[OP4] a line is one line, whatever a field holds", () => {
  const written = logLine({ level: "info", event: "tried", text: "a\nb\r\u2028\u0000" }, 0);
  assert.equal(written.includes("\n") || written.includes("\r"), false);
});

const SECRETS: Readonly<Record<string, string>> = {
  "a JWT": jwt,
  "a JWT in a sentence": `refused ${hs256}, sorry`,
  "a JWT cut short": jwt.slice(0, 60),
  "a JWT of unusual beginning": jwt.replace(/^eyJ/, "ewog"),
  "a subprotocol": `agent-websocket.v1, jwt-${jwt}`,
  "a resume token as subprotocol": `resume-${resume}`,
  "an Authorization header": "Bearer abc.def~ghi",
  "Basic authorization": "basic dXNlcjpwYXNz",
  "a URL": `wss://x.supabase.co/functions/v1/agent_websocket?jwt=${hs256}&resume_token=${resume}&apikey=abc`,
  "a Supabase secret key": "the key is sb_secret_N7UND0UgjKTVK-Uodkm0Hg_xSvEMPvz",
  "a publishable key": "sb_publishable_ACJWlzQHlZjBrEguHvfOxg_3BJgxAaH",
  "an OpenRouter key": `{"error":"Incorrect API key provided: sk-or-v1-0123456789abcdef0123456789abcdef"}`,
  "a database URL": "postgres://postgres:hunter22@db.example.com:5432/postgres",
};
const FORBIDDEN = /eyJ|ewog|N7UND|ACJWl|0123456789|abc|dXNlcjpwYXNz|hunter22|[\w-]{43}/;

for (const [name, text] of Object.entries(SECRETS)) {
  Deno.test(`[OP4] masked in the log wherever it stands: ${name}`, () => {
    const error = new Error(text, { cause: new TypeError(text) });
    const fields = { text, list: [text], error, nested: { deep: { text } }, set: new Set([text]), [text]: 1 };
    assert.doesNotMatch(JSON.stringify(line(fields)), FORBIDDEN);
  });
}

Deno.test("masked by its field's name: what cannot be known by its looks", () => {
  const fields = { token: "t", accessToken: "t", refresh_token: "t", apiKey: "t", api_key: "t", apikey: "t" };
  const more = {
    authorization: "t",
    Authorization: "t",
    password: "t",
    clientSecret: "t",
    cookie: "t",
    jwt: "t",
  };
  for (const value of Object.values(line({ nested: { ...fields, ...more } }).nested ?? {})) {
    assert.equal(value, "[masked]");
  }
});

Deno.test("not masked: counts of tokens, ids, models, ordinary words", () => {
  const fields = {
    tokens: 7,
    prompt_tokens: 5,
    token: 3,
    session_id: "0b2a7c1e-9b64-4d8f-8d38-5f0f6c8b1a11",
    model: "openai/gpt-4-turbo",
    text: "the task-force asked for a token and the resume-able risk-averse basket",
  };
  const { time: _time, level: _level, event: _event, ...written } = line(fields);
  assert.deepEqual(written, fields);
});

Deno.test("an error tells its name, message, code, stack and causes", () => {
  const cause = Object.assign(new TypeError("no route"), { code: "ENOTFOUND", status: 0, body: "private" });
  const { error } = line({ error: new AgentError("store_unavailable", "Cannot read", { cause }) });
  const { stack, cause: written, ...own } = error ?? {};
  assert.deepEqual(own, { name: "AgentError", message: "Cannot read", code: "store_unavailable" });
  assert.ok(Array.isArray(stack) && stack.length > 0 && stack.length <= 8);
  assert.ok(stack.every((frame) => /^at /.test(frame)));
  const { stack: _stack, ...inner } = written ?? {};
  assert.deepEqual(inner, { name: "TypeError", message: "no route", code: "ENOTFOUND", status: 0 });
});

Deno.test("values that JSON cannot hold do not throw", () => {
  const cycle: Record<string, unknown> = { name: "a" };
  cycle.self = cycle;
  const error = new Error("loop");
  error.cause = error;
  const written = line({
    cycle,
    error,
    big: 5n,
    symbol: Symbol("s"),
    run: (): void => {},
    missing: undefined,
    nan: NaN,
    date: new Date(0),
    noDate: new Date(NaN),
    bytes: new Uint8Array(3),
    map: new Map([["a", 1]]),
    set: new Set([1]),
    noPrototype: Object.assign(Object.create(null), { a: 1 }),
  });
  assert.equal(written.cycle?.self, "[circular]");
  assert.equal(written.error?.cause, "[circular]");
  assert.deepEqual([written.big, written.symbol, written.run], ["5", "Symbol(s)", "[function]"]);
  assert.deepEqual([written.date, written.noDate, written.bytes], [
    "1970-01-01T00:00:00.000Z",
    null,
    "[3 bytes]",
  ]);
  assert.deepEqual([written.map, written.set, written.noPrototype], [{ a: 1 }, [1], { a: 1 }]);
});

Deno.test("the same object twice is no cycle", () => {
  const shared = { a: 1 };
  assert.deepEqual(line({ pair: [shared, shared] }).pair, [shared, shared]);
});

Deno.test("a field that throws when it is read costs the entry its fields, not its line", () => {
  const trap = {
    get value(): never {
      throw new Error("trap");
    },
  };
  assert.match(String(line({ trap }).problem), /^Cannot write this entry/);
  assert.match(String(line({ revoked: revokedProxy() }).problem), /^Cannot write this entry/);
});

Deno.test("a line is bounded: long text, long lists, many fields, depth", () => {
  let deep: unknown = "bottom";
  for (let depth = 0; depth < 100; depth++) deep = { deep };
  const many = Object.fromEntries(Array.from({ length: 1000 }, (_, index) => [`field${index}`, index]));
  const written = line({ text: "x".repeat(5_000_000), list: Array(1000).fill(1), many, deep });
  assert.equal(written.text, `${"x".repeat(2000)}… [5000000 characters]`);
  assert.equal(written.list?.length, 50);
  assert.equal(Object.keys(written.many ?? {}).length, 50);
  assert.ok(JSON.stringify(written.deep).length < 100);
});

Deno.test("a key that stands where text is cut is masked all the same", () => {
  for (let length = 1950; length < 2010; length++) {
    const written = JSON.stringify(line({ text: "x".repeat(length) + ` ${jwt} ` + "y".repeat(3000) }));
    assert.doesNotMatch(written, /eyJ[\w-]{6}/);
  }
});

Deno.test("a password that is cut in two is not shown by halves", () => {
  const url = "postgres://postgres:hunter22hunter22@db.example.com/";
  for (const filling of ["x", `${jwt} `]) {
    for (let start = 3900; start < 4000; start++) {
      const text = filling.repeat(start).slice(0, start) + " " + url + "y".repeat(3000);
      assert.doesNotMatch(JSON.stringify(line({ text })), /hunter/);
    }
  }
});

Deno.test("masking a hostile text takes no time to speak of", () => {
  const started = performance.now();
  for (const piece of ["eyJ", "a-", "Bearer ", "token=", "a".repeat(16) + ".", "sk-", "://:", "x:@"]) {
    maskSecrets(piece.repeat(4000).slice(0, 4000));
  }
  assert.ok(performance.now() - started < 500);
});

function revokedProxy(): object {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
}
