import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type Config,
  ConfigError,
  environment,
  parseConfig,
} from "../../supabase/functions/_shared/config.ts";

/** The minimum configuration that starts. */
const LEAST = { OPENROUTER_API_KEY: "sk-or-1", SUPABASE_URL: "https://project.supabase.co" };

function problemsOf(env: Record<string, string>): readonly string[] {
  try {
    parseConfig(env);
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.problems;
  }
  return [];
}

Deno.test("parseConfig: the seed's names and defaults", () => {
  const config = parseConfig(LEAST);
  assert.equal(config.MODEL, "openai/gpt-4-turbo");
  assert.equal(config.AGENT_NAME, "agent_websocket");
  assert.equal(config.SESSION_TIMEOUT, 30);
  assert.equal(config.MAX_HISTORY, 50);
  assert.equal(config.TEMPERATURE, 0.7);
  assert.equal(config.MAX_TOKENS, 1500);
  assert.equal(
    config.SYSTEM_PROMPT,
    "You are agent_websocket, an AI assistant communicating via WebSocket.",
  );
});

Deno.test("parseConfig: a project's URL may end with slashes, and nobody behind sees them", () => {
  for (const end of ["", "/", "// "]) {
    const SUPABASE_URL = `https://project.supabase.co${end}`;
    const config = parseConfig({ ...LEAST, SUPABASE_URL, SUPABASE_SECRET_KEYS: '{"default":"sb_secret_1"}' });
    assert.equal(config.SUPABASE_URL, "https://project.supabase.co");
    assert.equal(config.project?.supabaseUrl, "https://project.supabase.co");
  }
});

Deno.test("parseConfig: the other defaults", () => {
  const config = parseConfig(LEAST);
  const expected: Partial<Config> = {
    CLEANUP_INTERVAL_MS: 300_000,
    STALL_TIMEOUT_MS: 30_000,
    THINK_TAGS: "show",
    FIRST_TOKEN_TIMEOUT_MS: 120_000,
    DRAIN_TIMEOUT_MS: 10_000,
    HEARTBEAT_INTERVAL_MS: 25_000,
    AUTH_TIMEOUT_MS: 5000,
    TOKEN_EXPIRY_NOTICE_MS: 60_000,
    MAX_CONNECTIONS: 1000,
    MAX_CONNECTIONS_PER_USER: 10,
    MAX_CONNECTIONS_PER_ADDRESS: 100,
    ANONYMOUS_SESSIONS_PER_HOUR: 300,
    MAX_SESSIONS: 5000,
    MAX_MEMORY_BYTES: 160_000_000,
    MAX_QUEUE: 20,
    MAX_MESSAGE_BYTES: 65_536,
    MAX_BUFFERED_BYTES: 1_048_576,
    MAX_EVENTS: 1000,
    MAX_RETRIES: 2,
    RATE_LIMIT_PER_MINUTE: 60,
    RATE_LIMIT_BURST: 20,
    DAILY_TOKEN_BUDGET: 0,
    AUTH_MODE: "required",
    RELAY: "auto",
    QUEUE_POLICY: "queue",
    ALLOWED_ORIGINS: [],
    MODEL_FALLBACKS: [],
    MODEL_DIALECT: "auto",
    REASONING_EFFORT: undefined,
    MAX_PROMPT_TOKENS: 0,
    OPENROUTER_BASE_URL: "https://openrouter.ai/api/v1",
    OPENROUTER_REFERER: undefined,
    OPENROUTER_TITLE: undefined,
    models: ["openai/gpt-4-turbo"],
    allowedModels: ["openai/gpt-4-turbo"],
    sessionTimeoutMs: 1_800_000,
    publishableKeys: [],
    secretKeys: [],
  };
  for (const [name, value] of Object.entries(expected)) {
    assert.deepEqual(Reflect.get(config, name), value, name);
  }
});

Deno.test("parseConfig: an empty value is not set, except where it means that nothing is sent", () => {
  const empty = Object.fromEntries(Object.keys(environment).map((name) => [name, ""]));
  const { TEMPERATURE, MAX_TOKENS, ...config } = parseConfig({ ...empty, ...LEAST });
  assert.deepEqual([TEMPERATURE, MAX_TOKENS], [undefined, undefined]);
  assert.deepEqual({ ...config, TEMPERATURE: 0.7, MAX_TOKENS: 1500 }, parseConfig(LEAST));
  assert.equal(problemsOf(empty).length, 2);
});

Deno.test("[MD4] parseConfig: more models than OpenRouter takes are a mistake, anywhere else they are not", () => {
  const four = { ...LEAST, MODEL: "a/a", MODEL_FALLBACKS: "b/b,c/c,d/d" };
  const problem = "MODEL_FALLBACKS: must have at most 2 models, because OpenRouter takes three with MODEL";
  const elsewhere = "http://localhost:11434/v1";
  assert.deepEqual(problemsOf(four), [problem]);
  assert.deepEqual(problemsOf({ ...four, OPENROUTER_BASE_URL: "https://openrouter.ai/api/v1" }), [problem]);
  assert.deepEqual(problemsOf({ ...four, OPENROUTER_BASE_URL: elsewhere, MODEL_DIALECT: "openrouter" }), [
    problem,
  ]);
  assert.deepEqual(problemsOf({ ...four, OPENROUTER_BASE_URL: elsewhere }), []);
  assert.deepEqual(problemsOf({ ...four, MODEL_DIALECT: "openai" }), []);
  assert.deepEqual(problemsOf({ ...four, MODEL_FALLBACKS: "b/b,c/c" }), []);
  // A function that asks no model is not stopped by it.
  assert.ok(parseConfig(four, { needsModel: false }));
  const { models } = parseConfig({ ...four, MODEL_FALLBACKS: "a/a,b/b,c/c,b/b" });
  assert.deepEqual(models, ["a/a", "b/b", "c/c"], "a model that is named twice is asked once");
});

Deno.test("parseConfig: names that are not ours do no harm", () => {
  assert.deepEqual(parseConfig({ ...LEAST, PATH: "/bin", MAX_TOKENZ: "x" }), parseConfig(LEAST));
});

Deno.test("parseConfig: lists are comma-separated, and the models follow from them", () => {
  const config = parseConfig({ ...LEAST, MODEL: "a/one", MODEL_FALLBACKS: " b/two ,,c/three, " });
  assert.deepEqual(config.models, ["a/one", "b/two", "c/three"]);
  assert.deepEqual(config.allowedModels, config.models);
  const chosen = parseConfig({ ...LEAST, ALLOWED_MODELS: "d/four" });
  assert.deepEqual(chosen.allowedModels, ["d/four"]);
});

Deno.test("parseConfig: SESSION_TIMEOUT is in minutes, and a fraction is never rounded to 0, which means never", () => {
  for (
    const [minutes, ms] of [["30", 1_800_000], ["0.5", 30_000], ["0.001", 60], ["0.0000001", 1], ["0", 0]]
  ) {
    assert.equal(parseConfig({ ...LEAST, SESSION_TIMEOUT: String(minutes) }).sessionTimeoutMs, ms);
  }
});

Deno.test("parseConfig: tools have their limits, and approvals their time and people", () => {
  const config = parseConfig(LEAST);
  assert.deepEqual([config.MAX_STEPS, config.TOOL_TIMEOUT_MS, config.MAX_TOOL_RESULT_CHARS], [
    10,
    30_000,
    20_000,
  ]);
  assert.deepEqual(config.APPROVERS, ["user"]);
  assert.equal(config.approvalTimeoutMs, 86_400_000);
  const own = parseConfig({ ...LEAST, APPROVAL_TIMEOUT: "0.5", APPROVERS: "user, support" });
  assert.equal(own.approvalTimeoutMs, 1_800_000);
  assert.deepEqual(own.APPROVERS, ["user", "support"]);
});

Deno.test("parseConfig: keys of both kinds are put together", () => {
  const config = parseConfig({
    ...LEAST,
    SUPABASE_PUBLISHABLE_KEYS: '{"default":"sb_publishable_1","web":"sb_publishable_2"}',
    SUPABASE_ANON_KEY: "eyAnon",
    SUPABASE_SECRET_KEYS: '{"default":"sb_secret_1"}',
    SUPABASE_SERVICE_ROLE_KEY: "eyService",
  });
  assert.deepEqual(config.publishableKeys, ["sb_publishable_1", "sb_publishable_2", "eyAnon"]);
  assert.deepEqual(config.secretKeys, ["sb_secret_1", "eyService"]);
});

Deno.test("parseConfig: a key or another server, a project or AUTH_MODE=none", () => {
  assert.deepEqual(problemsOf({}), [
    "OPENROUTER_API_KEY: must be set (or OPENROUTER_BASE_URL, for a server that needs no key)",
    "SUPABASE_URL: must be set, to check tokens with (or AUTH_MODE=none, to let everyone in)",
  ]);
  const local = parseConfig({ OPENROUTER_BASE_URL: "http://localhost:11434/v1", AUTH_MODE: "none" });
  assert.equal(local.OPENROUTER_API_KEY, undefined);
  assert.equal(local.OPENROUTER_BASE_URL, "http://localhost:11434/v1");
  assert.equal(problemsOf({ OPENROUTER_API_KEY: "sk-or-1", AUTH_MODE: "optional" }).length, 1);
});

/** For each name one value of every invalid kind, with the expected problem. */
const WRONG: Record<string, readonly [value: string, problem: string][]> = {
  OPENROUTER_API_KEY: [["  ", "must not be empty"]],
  OPENROUTER_BASE_URL: [
    ["localhost:11434", "must be an http or https URL"],
    ["ftp://models", "must be an http or https URL"],
    ["/v1", "must be an http or https URL"],
  ],
  TEMPERATURE: [
    ["warm", "must be a number"],
    ["2.1", "must be 2 or less"],
    ["-0.1", "must be 0 or more"],
    ["NaN", "must be a number"],
    ["1e0", "must be a number"],
    [".5", "must be a number"],
    ["9".repeat(400), "must be 2 or less"],
  ],
  MAX_TOKENS: [
    ["0", "must be 1 or more"],
    ["1.5", "must be a whole number"],
    ["0x10", "must be a whole number"],
    [" 5", "must be a whole number"],
    ["1_000", "must be a whole number"],
    ["Infinity", "must be a whole number"],
    ["9".repeat(400), "must be 9007199254740991 or less"],
  ],
  MODEL_DIALECT: [["OpenAI", "must be auto, openrouter, openai or azure"]],
  REASONING_EFFORT: [["max", "must be none, minimal, low, medium, high or xhigh"]],
  MAX_PROMPT_TOKENS: [["-1", "must be 0 or more"], ["8k", "must be a whole number"]],
  MAX_RETRIES: [["11", "must be 10 or less"], ["-1", "must be 0 or more"]],
  SESSION_TIMEOUT: [["35001", "must be 35000 or less"], ["30m", "must be a number"]],
  CLEANUP_INTERVAL_MS: [["9", "must be 10 or more"], ["2147483648", "must be 2147483647 or less"]],
  MAX_STEPS: [["0", "must be 1 or more"]],
  MAX_TOOL_RESULT_CHARS: [["199", "must be 200 or more"]],
  APPROVAL_TIMEOUT: [["0", "must be 0.001 or more"], ["24h", "must be a number"]],
  APPROVERS: [["the user", "must be a list of roles such as user,support"], [
    ",",
    "must be a list of roles such as user,support",
  ]],
  QUEUE_POLICY: [["Queue", "must be queue, reject, interrupt or latest"]],
  RELAY: [["on", "must be auto or off"], ["Off", "must be auto or off"]],
  TRUSTED_ADDRESS_HEADER: [["x forwarded", "must be the name of a header such as cf-connecting-ip"]],
  TRUSTED_PROXY_HOPS: [["-1", "must be 0 or more"], ["21", "must be 20 or less"]],
  AUTH_MODE: [["off", "must be required, optional or none"]],
  SUPABASE_SECRET_KEYS: [
    ["sb_secret_1", "must be a JSON object of named keys"],
    ['["sb_secret_1"]', "must be a JSON object of named keys"],
    ['{"default":1}', "must be a JSON object of named keys"],
    ['{"default":""}', "must be a JSON object of named keys"],
    ["null", "must be a JSON object of named keys"],
  ],
};

for (const [name, cases] of Object.entries(WRONG)) {
  Deno.test(`parseConfig: mistakes in ${name}`, () => {
    for (const [value, problem] of cases) {
      assert.deepEqual(problemsOf({ ...LEAST, [name]: value }), [`${name}: ${problem}`]);
    }
  });
}

Deno.test("[LM10] parseConfig: cf-connecting-ip is trusted on the platform, and nowhere else unless it is named", () => {
  const addresses = (env: Record<string, string>): Config["trustedProxies"] =>
    parseConfig({ ...LEAST, ...env }).trustedProxies;
  assert.deepEqual(addresses({}), { header: undefined, proxyHops: 1 });
  assert.deepEqual(addresses({ SB_REGION: "eu-west-1" }), { header: "cf-connecting-ip", proxyHops: 1 });
  assert.deepEqual(addresses({ SB_REGION: "eu-west-1", TRUSTED_PROXY_HOPS: "0" }), {
    header: undefined,
    proxyHops: 0,
  });
  assert.deepEqual(addresses({ TRUSTED_ADDRESS_HEADER: "X-Real-IP", TRUSTED_PROXY_HOPS: "2" }), {
    header: "x-real-ip",
    proxyHops: 2,
  });
});

Deno.test("parseConfig: every mistake is named at once, and no value is repeated", () => {
  const env = Object.fromEntries(Object.keys(environment).map((name) => [name, "\u0000§secret§"]));
  const { OPENROUTER_API_KEY: _, ...wrong } = env;
  const problems = problemsOf(wrong);
  const texts = [
    "OPENROUTER_REFERER",
    "OPENROUTER_TITLE",
    "MODEL",
    "MODEL_FALLBACKS",
    "ALLOWED_MODELS",
    "TITLE_MODEL",
    "PREFILL_MODELS",
    "SYSTEM_PROMPT",
    "AGENT_NAME",
    "ALLOWED_ORIGINS",
    "SUPABASE_ANON_KEY",
    "SUPABASE_SERVICE_ROLE_KEY",
    "SB_REGION",
  ];
  const expected = Object.keys(wrong).filter((name) => !texts.includes(name));
  assert.deepEqual(problems.map((problem) => problem.split(":")[0]), expected);
  assert.doesNotMatch(problems.join(), /secret§/);
  const { message } = new ConfigError(problems);
  assert.equal(message, `Cannot start: ${problems.join("; ")}`);
});

const anyValue = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.integer().map(String),
  fc.double().map(String),
  fc.json(),
  fc.webUrl(),
  fc.stringMatching(/^-?\d{1,400}(\.\d{1,40})?$/),
  fc.constantFrom("", " ", "-0", "0", "none", "required", "latest", "{}", '{"__proto__":"x"}', "true"),
);
const anyEnvironment = fc.dictionary(
  fc.constantFrom(...Object.keys(environment), "__proto__"),
  anyValue,
);

Deno.test("parseConfig: any environment gives a whole configuration or a ConfigError", () => {
  let good = 0;
  fc.assert(
    fc.property(anyEnvironment, fc.boolean(), (env, able) => {
      let config: Config;
      try {
        config = parseConfig(able ? { ...env, ...LEAST, AUTH_MODE: "none" } : env);
      } catch (error) {
        assert.ok(error instanceof ConfigError, String(error));
        assert.ok(error.problems.length > 0);
        return;
      }
      good++;
      for (const [name, value] of Object.entries(config)) {
        if (typeof value === "number") assert.ok(Number.isFinite(value) && value >= 0, `${name}: ${value}`);
      }
      assert.ok(!config.secretKeys.includes("") && !config.publishableKeys.includes(""));
    }),
    { numRuns: 3000 },
  );
  assert.ok(good > 50, `${good} were good`);
});
