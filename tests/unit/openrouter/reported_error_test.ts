import assert from "node:assert/strict";
import { httpFailure, reportedError } from "../../../supabase/functions/_shared/openrouter/reported_error.ts";
import { statusFailure } from "../../../supabase/functions/_shared/openrouter/attempt_failure.ts";

/** The status that each word stands for. */
const WORDS: Record<number, readonly string[]> = {
  400: [
    "invalid_request_error",
    "INVALID_ARGUMENT",
    "BadRequestError",
    "unsupported_parameter",
    "FAILED_PRECONDITION",
  ],
  401: ["invalid_api_key", "authentication_error", "UNAUTHENTICATED", "Unauthorized", "account_deactivated"],
  402: ["insufficient_quota", "insufficient_credits", "billing_hard_limit_reached", "payment_required"],
  403: ["permission_error", "PERMISSION_DENIED", "forbidden", "unsupported_country_region_territory"],
  404: ["model_not_found", "not_found_error", "NOT_FOUND", "NotFoundError", "DeploymentNotFound"],
  408: ["timeout_error", "request_timeout", "DEADLINE_EXCEEDED"],
  413: [
    "context_length_exceeded",
    "exceed_context_size_error",
    "string_above_max_length",
    "request_too_large",
  ],
  429: [
    "rate_limit_exceeded",
    "rate_limit_error",
    "RESOURCE_EXHAUSTED",
    "too_many_requests",
    "Throttling.RateQuota",
  ],
  503: ["overloaded_error", "engine_overloaded", "UNAVAILABLE", "service_unavailable", "capacity_exceeded"],
};

const detail = "the provider's words";

Deno.test("reportedError: a word means the same in every place that has one", () => {
  for (const [status, words] of Object.entries(WORDS)) {
    const { code, message, retryable } = statusFailure(Number(status), { detail });
    for (const word of words) {
      const places = [
        { error: { code: word, message: "x" } },
        { error: { type: word, message: "x" } },
        { error: { status: word, code: null, message: "x" } },
        { error: { code: "x", type: word } },
        { error: word },
        { type: "error", error: { type: word } },
        { object: "error", type: word, code: null, message: "x" },
        { code: word, message: "x" },
        [{ error: { status: word } }],
        { errors: [{ code: word }] },
        { error: { details: [{ reason: word }] } },
        { error: { error: { code: word } } },
      ];
      for (const place of places) {
        const where = JSON.stringify(place);
        const failure = reportedError(place, { detail });
        assert.equal(failure.code, code, where);
        assert.equal(failure.message, message, where);
        assert.equal(failure.retryable, retryable, where);
        assert.equal(failure.status, undefined, `${where}: no status was given`);
        assert.equal(failure.detail, detail);
      }
    }
  }
});

Deno.test("reportedError: a number is a status, as a number and as a text, wherever it is", () => {
  for (const code of [400, 401, 402, 403, 404, 408, 413, 422, 429, 500, 502, 529]) {
    const { code: expected } = statusFailure(code, { detail });
    for (
      const report of [
        { error: { code } },
        { error: { code: String(code), type: "x" } },
        { error: { status: code } },
        { error: { message: "x" }, status_code: code },
        { object: "error", code, message: "x" },
        { error: code },
      ]
    ) {
      const failure = reportedError(report, { detail });
      assert.deepEqual([failure.code, failure.status], [expected, code], JSON.stringify(report));
    }
  }
});

Deno.test("reportedError: what names no cause is the provider's failure, and may pass", () => {
  const reports = [
    { error: { message: "x" } },
    { error: { code: 1 } },
    { error: { code: 200 } },
    { error: { code: "server_error" } },
    { error: { type: "api_error", code: null } },
    { error: true, message: "x" },
    { error: "Compute error." },
    { error: {}, code: 10_000 },
    { detail: "Something broke" },
    "upstream closed",
    { error: { code: [], status: {}, message: 7 } },
  ];
  for (const report of reports) {
    const { code, retryable, askAgain } = reportedError(report, { detail });
    assert.deepEqual([code, retryable, askAgain], ["model_unavailable", true, true], JSON.stringify(report));
  }
});

Deno.test("reportedError: a report that contains itself does not end it", () => {
  const report: Record<string, unknown> = { code: 429 };
  report.error = report;
  assert.equal(reportedError(report, { detail }).code, "model_rate_limited");
});

Deno.test("httpFailure: the status counts, unless the body names a cause that says more", () => {
  const cases = [
    [500, { error: { type: "invalid_request_error" } }, "model_unavailable", /unavailable/],
    [503, { error: { code: "not_found" } }, "model_unavailable", /unavailable/],
    [400, { error: { type: "server_error" } }, "model_rejected", /\(400\)/],
    [429, { error: { type: "insufficient_quota" } }, "model_unauthorized", /out of credit/],
    [400, { error: { code: "API_KEY_INVALID" } }, "model_unauthorized", /our key/],
    [500, { error: { code: "context_length_exceeded" } }, "prompt_too_long", /too long/],
    [400, { message: "This model's maximum context length is 10 tokens" }, "prompt_too_long", /too long/],
    [400, { message: "prompt is too long: 9 tokens > 8 maximum" }, "prompt_too_long", /too long/],
    [
      400,
      { message: "The input token count (9) exceeds the maximum number of tokens allowed (8)." },
      "prompt_too_long",
      /too long/,
    ],
    [429, { message: "Your maximum context length is fine" }, "model_rate_limited", /rate limiting/],
    [400, { error: { code: "content_filter" } }, "model_rejected", /content filter/],
  ] as const;
  for (const [status, body, code, says] of cases) {
    const failure = httpFailure(status, { detail: JSON.stringify(body), retryAfterMs: 7 });
    assert.equal(failure.code, code, JSON.stringify(body));
    assert.match(failure.message, says);
    assert.equal(failure.status, status);
    assert.equal(failure.retryAfterMs, 7);
  }
});

Deno.test("httpFailure: a body that is no JSON, or is cut, leaves the status", () => {
  for (const text of ["", "<html>", `{"error":{"code":"insufficient_quo`, "null", "[]", "7"]) {
    assert.equal(httpFailure(429, { detail: text }).code, "model_rate_limited", text);
  }
});
