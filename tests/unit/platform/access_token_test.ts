import assert from "node:assert/strict";
import { AgentError } from "../../../supabase/functions/_shared/errors.ts";
import {
  type Issuers,
  MAX_TOKEN_CHARS,
  ownIssuer,
  readAccessToken,
} from "../../../supabase/functions/_shared/platform/access_token.ts";
import { type Claims, sharedSecret, signingKey, unsigned, userClaims } from "../../support/tokens.ts";

const NOW = 1_735_689_600_000;
const NOW_S = NOW / 1000;
const es256 = await signingKey("ES256", "key-1");
const hs256 = sharedSecret("a-secret-of-an-older-project-with-enough-characters");

/** A project that trusts no other issuer. */
const ISSUERS: Issuers = { isOwn: ownIssuer("http://127.0.0.1"), trusted: [] };

type MakeToken = () => string | Promise<string>;

/** A token with these changes to a valid user's claims, or to its header. */
const claims = (changes: Claims): MakeToken => () => es256.sign(userClaims(NOW, changes));
const header = (changes: Claims): MakeToken => () => es256.sign(userClaims(NOW), changes);
/** A valid token with its payload replaced by this text. */
const payload = (text: string): MakeToken => async () => {
  const encoded = btoa(text).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  return (await es256.sign(userClaims(NOW))).replace(/\.[^.]*\./, `.${encoded}.`);
};
const good = await es256.sign(userClaims(NOW));

const REFUSED: Readonly<Record<string, Readonly<Record<string, MakeToken>>>> = {
  "it is not a JSON Web Token": {
    "empty": () => "",
    "two dots": () => "..",
    "garbage": () => "~~~ not a token ~~~",
    "three parts of garbage": () => "aaaa.bbbb.cccc",
    "without its signature": () => good.replace(/\.[^.]*$/, ""),
    "with an empty signature": () => good.replace(/[^.]*$/, ""),
    "cut in the middle": () => good.slice(0, good.length / 2),
    "a fourth part": () => `${good}.AAAA`,
    "a line break inside": () => good.replace(".", ".\n"),
    "a blank before it": () => ` ${good}`,
    "a header that is an array": () => good.replace(/^[^.]*/, btoa("[10]").replaceAll("=", "")),
    "a payload that is null": payload("null"),
    "a payload that is an array": payload('[{"exp":1}]'),
    "a payload that is text": payload('"exp"'),
    "a payload that is no JSON": payload("{exp:1}"),
    "a payload that is not UTF-8": payload('{"sub":"\xff"}'),
    "a payload of one character of base64": () => good.replace(/\.[^.]*\./, ".A."),
    "a payload nested too deeply to be one": payload("[".repeat(5000)),
    "only dots": () => ".".repeat(MAX_TOKEN_CHARS),
  },
  "it is longer than 8192 characters": {
    "one character too long": () => good + "A".repeat(MAX_TOKEN_CHARS + 1 - good.length),
    "100 KB": claims({ note: "x".repeat(100_000) }),
  },
  "its algorithm is not allowed": {
    "none": () => `${unsigned(userClaims(NOW), { alg: "none", typ: "JWT" })}AAAA`,
    "nOnE": () => `${unsigned(userClaims(NOW), { alg: "nOnE" })}AAAA`,
    "none over a good signature": header({ alg: "none" }),
    "left out": header({ alg: undefined }),
    "an array": header({ alg: ["ES256"] }),
    "HS512": header({ alg: "HS512" }),
    "EdDSA": header({ alg: "EdDSA" }),
    "a name of the prototype": header({ alg: "toString" }),
  },
  "it needs an extension that is not known": {
    "exp": header({ crit: ["exp"] }),
    "an unencoded payload": header({ b64: false, crit: ["b64"] }),
    "an empty list": header({ crit: [] }),
  },
  "it names no signing key": {
    "no kid": header({ kid: undefined }),
    "an empty kid": header({ kid: "" }),
    "a number": header({ kid: 7 }),
  },
  "it has expired": {
    "a second ago": claims({ exp: NOW_S - 1 }),
    "this moment": claims({ exp: NOW_S }),
    "at the beginning of time": claims({ exp: 0 }),
  },
  "it has no time of expiry": {
    "left out": claims({ exp: undefined }),
    "text": claims({ exp: String(NOW_S + 60) }),
    "null": claims({ exp: null }),
    "negative": claims({ exp: -1 }),
    "beyond every date": claims({ exp: 1e300 }),
    "infinite": payload('{"exp":1e999}'),
    "in the prototype only": payload(`{"__proto__":{"exp":${NOW_S + 60}}}`),
  },
  "it is not valid yet": {
    "for a minute": claims({ nbf: NOW_S + 60 }),
    "issued in an hour": claims({ iat: NOW_S + 3600 }),
  },
  "it has a date that is none": {
    "nbf": claims({ nbf: "soon" }),
    "iat": claims({ iat: null }),
  },
  "it is for another audience": {
    "another": claims({ aud: "other" }),
    "left out": claims({ aud: undefined }),
    "one that holds the word": claims({ aud: "not authenticated" }),
    "a list without it": claims({ aud: ["other"] }),
    "an empty list": claims({ aud: [] }),
    "an object": claims({ aud: { authenticated: true } }),
  },
  "it is not a user's": {
    "the anon key of an older project": () => hs256.sign(userClaims(NOW, { role: "anon", sub: undefined })),
    "the service role": claims({ role: "service_role" }),
    "no role": claims({ role: undefined }),
    "a list": claims({ role: ["authenticated"] }),
  },
  "its issuer is not trusted": {
    "another project": claims({ iss: "https://other.supabase.co/auth/v1" }),
    "Clerk, with the audience of Supabase": claims({ iss: "https://example.clerk.accounts.dev" }),
    "one that begins as ours": claims({ iss: "http://127.0.0.1/auth/v1/" }),
    "one that ends as ours": claims({ iss: "http://example.com/http://127.0.0.1/auth/v1" }),
    "left out": claims({ iss: undefined }),
    "a list": claims({ iss: ["http://127.0.0.1/auth/v1"] }),
  },
  "its user cannot be named so": {
    "a zero byte, which no database takes": claims({ sub: "ada\0" }),
    "half a character": payload(
      `{"iss":"http://127.0.0.1/auth/v1","aud":"authenticated","role":"authenticated","exp":${
        NOW_S + 9
      },"sub":"\\ud800"}`,
    ),
    "longer than 255 characters": claims({ sub: "x".repeat(256) }),
  },
  "it names no user": {
    "left out": claims({ sub: undefined }),
    "empty": claims({ sub: "" }),
    "a number": claims({ sub: 7 }),
    "an object": claims({ sub: { id: "ada" } }),
  },
};

for (const [why, cases] of Object.entries(REFUSED)) {
  for (const [name, make] of Object.entries(cases)) {
    Deno.test(`[AU3] a token is refused because ${why}: ${name}`, async () => {
      const token = await make();
      assert.throws(() => readAccessToken(token, NOW, ISSUERS), (error) => {
        assert.ok(error instanceof AgentError);
        assert.deepEqual(
          [error.code, error.message, error.retryable, error.cause],
          ["unauthorized", `Cannot accept the token: ${why}`, false, undefined],
        );
        return true;
      });
    });
  }
}

const ACCEPTED: Readonly<Record<string, MakeToken>> = {
  "several audiences": claims({ aud: ["other", "authenticated"] }),
  "an auth server whose clock is half a minute ahead": claims({ iat: NOW_S + 30, nbf: NOW_S + 30 }),
  "no date of issue": claims({ iat: undefined }),
  "a user who signed in anonymously": claims({ is_anonymous: true, email: "" }),
  "text beyond ASCII": claims({ user_metadata: { name: "Ada 🎩 \u202e \u0000" } }),
  "a header with a hint where its key is": header({ jku: "https://example.com/keys" }),
};

for (const [name, make] of Object.entries(ACCEPTED)) {
  Deno.test(`a token is well formed: ${name}`, async () => {
    assert.deepEqual(readAccessToken(await make(), NOW, ISSUERS), {
      alg: "ES256",
      kid: "key-1",
      issuer: undefined,
      userId: "11111111-1111-4111-8111-111111111111",
      expiresAt: NOW + 3_600_000,
      appMetadata: {},
    });
  });
}

Deno.test("a token's time of expiry may have a fraction, and be in a hundred years", async () => {
  for (const exp of [NOW_S + 0.5, NOW_S + 3_155_760_000]) {
    assert.equal(readAccessToken(await claims({ exp })(), NOW, ISSUERS).expiresAt, exp * 1000);
  }
});

Deno.test("a token of the shared secret needs no kid, and one that it has says nothing", async () => {
  for (const kid of [undefined, "key-1", 7]) {
    const token = await hs256.sign(userClaims(NOW), { kid });
    assert.equal(readAccessToken(token, NOW, ISSUERS).alg, "HS256");
  }
});

Deno.test("[AU10] a trusted issuer's token is never one of a shared secret, and may be of Ed25519", async () => {
  const issuer = {
    issuer: "https://id.example.com",
    jwksUrl: "https://id.example.com/jwks",
    audiences: ["authenticated"],
    prefix: "",
  };
  const issuers = { ...ISSUERS, trusted: [issuer] };
  const theirs = userClaims(NOW, { iss: issuer.issuer, sub: "ada" });
  const shared = await hs256.sign(theirs);
  assert.throws(() => readAccessToken(shared, NOW, issuers), {
    message: "Cannot accept the token: its algorithm is not allowed",
  });
  const read = readAccessToken(await (await signingKey("EdDSA", "ed")).sign(theirs), NOW, issuers);
  assert.deepEqual([read.alg, read.userId], ["EdDSA", "ada"]);
});

Deno.test("the project's issuer is the one that is set, and on http any name of this machine", () => {
  const cases: [isOwn: Issuers["isOwn"], issuer: string, expected: boolean][] = [
    [ownIssuer("https://p.supabase.co"), "https://p.supabase.co/auth/v1", true],
    [ownIssuer("https://p.supabase.co"), "https://p.supabase.co/auth/v1", true],
    [ownIssuer("https://p.supabase.co"), "https://p.supabase.co/auth/v1/", false],
    [ownIssuer("https://p.supabase.co"), "http://p.supabase.co/auth/v1", false],
    [ownIssuer("https://p.supabase.co"), "http://127.0.0.1:54321/auth/v1", false],
    [ownIssuer("https://p.supabase.co", "https://auth.example.com"), "https://auth.example.com", true],
    [ownIssuer("https://p.supabase.co", "https://auth.example.com"), "https://p.supabase.co/auth/v1", false],
    [ownIssuer("http://kong:8000"), "http://kong:8000/auth/v1", true],
    [ownIssuer("http://kong:8000"), "http://127.0.0.1:54321/auth/v1", true],
    [ownIssuer("http://kong:8000"), "http://localhost:54321/auth/v1", true],
    [ownIssuer("http://kong:8000"), "http://[::1]:54321/auth/v1", true],
    [ownIssuer("http://kong:8000"), "http://127.0.0.1.example.com/auth/v1", false],
    [ownIssuer("http://kong:8000"), "https://localhost/auth/v1", false],
    [ownIssuer("http://kong:8000"), "http://localhost/other", false],
    [ownIssuer("http://kong:8000"), "supabase-demo", false],
    [ownIssuer("http://kong:8000", "https://auth.example.com"), "http://127.0.0.1:54321/auth/v1", false],
  ];
  for (const [isOwn, issuer, expected] of cases) assert.equal(isOwn(issuer), expected, issuer);
});
