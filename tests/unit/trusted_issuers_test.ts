import assert from "node:assert/strict";
import { ConfigError, parseConfig } from "../../supabase/functions/_shared/config.ts";
import type { TrustedIssuer } from "../../supabase/functions/_shared/trusted_issuers.ts";

const LEAST = { OPENROUTER_API_KEY: "sk-or-1", SUPABASE_URL: "https://project.supabase.co" };

function read(value: unknown, env: Record<string, string> = {}): readonly TrustedIssuer[] {
  const TRUSTED_ISSUERS = typeof value === "string" ? value : JSON.stringify(value);
  return parseConfig({ ...LEAST, ...env, TRUSTED_ISSUERS }).TRUSTED_ISSUERS;
}

Deno.test("[AU10] TRUSTED_ISSUERS: each provider by what its own page shows", () => {
  assert.deepEqual(
    read([
      { clerk: "example.clerk.accounts.dev" },
      { auth0: "example.eu.auth0.com", audience: "k1PfzXq", prefix: "auth0" },
      { firebase: "my-project", prefix: "firebase" },
      { workos: "client_01HXYZ", prefix: "workos" },
      {
        issuer: "https://id.example.com/realms/main",
        jwks: "https://keys.example.com/jwks?v=1",
        audience: ["api", "web"],
        prefix: "staff",
      },
    ]),
    [
      {
        issuer: "https://example.clerk.accounts.dev",
        jwksUrl: "https://example.clerk.accounts.dev/.well-known/jwks.json",
        audiences: [],
        prefix: "",
      },
      {
        issuer: "https://example.eu.auth0.com/",
        jwksUrl: "https://example.eu.auth0.com/.well-known/jwks.json",
        audiences: ["k1PfzXq"],
        prefix: "auth0:",
      },
      {
        issuer: "https://securetoken.google.com/my-project",
        jwksUrl: "https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com",
        audiences: ["my-project"],
        prefix: "firebase:",
      },
      {
        issuer: "https://api.workos.com/user_management/client_01HXYZ",
        jwksUrl: "https://api.workos.com/sso/jwks/client_01HXYZ",
        audiences: [],
        prefix: "workos:",
      },
      {
        issuer: "https://id.example.com/realms/main",
        jwksUrl: "https://keys.example.com/jwks?v=1",
        audiences: ["api", "web"],
        prefix: "staff:",
      },
    ],
  );
});

Deno.test("[AU10] TRUSTED_ISSUERS: of any other issuer the keys and the audience have defaults", () => {
  for (
    const issuer of [
      "https://id.example.com",
      "https://id.example.com/",
      "http://127.0.0.1:8080",
      "http://localhost",
    ]
  ) {
    assert.deepEqual(read([{ issuer }]), [{
      issuer,
      jwksUrl: `${issuer.replace(/\/$/, "")}/.well-known/jwks.json`,
      audiences: ["authenticated"],
      prefix: "",
    }]);
  }
  assert.equal(read([{ clerk: "a.b", jwks: "https://keys.a.b/" }])[0]?.jwksUrl, "https://keys.a.b/");
  assert.deepEqual(read([{ clerk: "clerk.example.com", audience: "web" }])[0]?.audiences, ["web"]);
  assert.deepEqual(read([]), []);
  assert.deepEqual(parseConfig(LEAST).TRUSTED_ISSUERS, []);
});

const FORM = "must be a JSON list of objects, each with one of issuer, clerk, auth0, firebase, workos";
const ONE_OF = "entry 1: must have one of issuer, clerk, auth0, firebase, workos";
const ISSUER = "entry 1: issuer must be an https URL without a query (http: loopback only)";
const JWKS = "entry 1: jwks must be an https URL (http: loopback only)";
const AUDIENCE = "entry 1: audience must be text, or a list of texts";
const PREFIX = "entry 1: prefix must be a word of a-z, 0-9, - and _";
const id = "https://id.example.com";

const MISTAKES: readonly [value: unknown, problem: string][] = [
  ["clerk", FORM],
  ["[", FORM],
  [{ clerk: "example.clerk.accounts.dev" }, FORM],
  [["example.clerk.accounts.dev"], "entry 1: must be an object"],
  [[null], "entry 1: must be an object"],
  [[{}], ONE_OF],
  [[{ clerk: "a.b", auth0: "a.b" }], ONE_OF],
  [[{ toString: "a.b" }], ONE_OF],
  [[{ clerk: 7 }], "entry 1: clerk must be text"],
  [[{ clerk: "https://example.clerk.accounts.dev" }], "entry 1: clerk must be what docs/DEPLOY.md shows"],
  [[{ clerk: "example" }], "entry 1: clerk must be what docs/DEPLOY.md shows"],
  [[{ clerk: "example.clerk.accounts.dev/x" }], "entry 1: clerk must be what docs/DEPLOY.md shows"],
  [[{ clerk: "a.b", issuers: id }], "entry 1: may have only clerk, jwks, audience, prefix"],
  [[{ clerk: "a.b", jwks: "http://a.b/jwks" }], JWKS],
  [[{ auth0: "a.auth0.com" }], "entry 1: auth0 needs audience: the id of the application, or of the API"],
  [[{ firebase: "My Project" }], "entry 1: firebase must be what docs/DEPLOY.md shows"],
  [[{ workos: "01HXYZ" }], "entry 1: workos must be what docs/DEPLOY.md shows"],
  [[{ issuer: "id.example.com" }], ISSUER],
  [[{ issuer: "http://id.example.com" }], ISSUER],
  [[{ issuer: "http://127.0.0.1.example.com" }], ISSUER],
  [[{ issuer: "https://user:secret@id.example.com" }], ISSUER],
  [[{ issuer: `${id}/?a=1` }], ISSUER],
  [[{ issuer: `${id}/#a` }], ISSUER],
  [[{ issuer: "ftp://id.example.com" }], ISSUER],
  [[{ issuer: id, jwks: "http://id.example.com/jwks" }], JWKS],
  [[{ issuer: id, jwks: "file:///etc/passwd" }], JWKS],
  [[{ issuer: id, jwks: 7 }], JWKS],
  [[{ issuer: id, audience: "" }], AUDIENCE],
  [[{ issuer: id, audience: [] }], AUDIENCE],
  [[{ issuer: id, audience: ["a", 7] }], AUDIENCE],
  [[{ issuer: id, audience: null }], AUDIENCE],
  [[{ issuer: id, prefix: "a:b" }], PREFIX],
  [[{ issuer: id, prefix: "A" }], PREFIX],
  [[{ issuer: id, prefix: 1 }], PREFIX],
  [[{ issuer: id, audiences: "a" }], "entry 1: may have only issuer, jwks, audience, prefix"],
  [[{ issuer: id }, { issuer: id, prefix: "x" }], "must name each issuer once"],
  [[{ issuer: id }, { clerk: "a.b" }], "must give each issuer a prefix of its own; only one may be without"],
  [
    [{ issuer: id, prefix: "x" }, { clerk: "a.b", prefix: "x" }],
    "must give each issuer a prefix of its own; only one may be without",
  ],
  [
    Array.from({ length: 11 }, (_, n) => ({ issuer: `${id}/${n}`, prefix: `p${n}` })),
    "must have at most 10 entries",
  ],
  [
    [{ issuer: "https://project.supabase.co/auth/v1" }],
    "must not name the project's own issuer, whose tokens count anyway",
  ],
];

for (const [index, [value, problem]] of MISTAKES.entries()) {
  Deno.test(`TRUSTED_ISSUERS: a mistake is named, ${index + 1}: ${problem}`, () => {
    assert.throws(() => read(value), (error) => {
      assert.ok(error instanceof ConfigError);
      assert.deepEqual(error.problems, [`TRUSTED_ISSUERS: ${problem}`]);
      return true;
    });
  });
}

Deno.test("TRUSTED_ISSUERS: the project's own issuer is the one that AUTH_ISSUER names", () => {
  const AUTH_ISSUER = "https://auth.example.com/auth/v1";
  assert.throws(() => read([{ issuer: AUTH_ISSUER }], { AUTH_ISSUER }), ConfigError);
  assert.equal(read([{ issuer: "https://project.supabase.co/auth/v1" }], { AUTH_ISSUER }).length, 1);
});
