/** What `notify_websocket` answers: a `POST` of a notification, one of a decision to `/approvals`, and `/health`. */

import { AgentError, toAgentError } from "../errors.ts";
import { addressKey, type AddressPolicy } from "../guard/address.ts";
import type { RateLimiter, RateVerdict } from "../guard/rate_limiter.ts";
import type { Approver, Decider } from "../notify/approver.ts";
import type { Caller, Notifier } from "../notify/notifier.ts";
import type { IdentityVerifier } from "../ports/identity.ts";
import type { RelayStatus } from "../ports/relay.ts";
import type { Clock, Log } from "../ports/runtime.ts";
import { bearerOf } from "../protocol/connect_request.ts";
import { parseDecisionRequest } from "../protocol/decision_request.ts";
import { parseNotifyRequest } from "../protocol/notify_request.ts";
import { appRoleOf } from "../token_claims.ts";
import { VERSION } from "../version.ts";
import { type Body, readBody } from "./body.ts";
import type { Handler } from "./on_first_request.ts";
import { type Problem, problem } from "./problems.ts";

const MAX_BODY_BYTES = 65_536;

export interface NotifyRouteDeps {
  notifier: Notifier;
  approver: Pick<Approver, "decide">;
  /** How it stands: for `/health`. */
  relay: { readonly status: RelayStatus | "off" };
  store: { readonly name: string };
  clock: Clock;
  log: Log;
  verifier: IdentityVerifier;
  rateLimiter: RateLimiter;
  trustedProxies: AddressPolicy;
  isSecretKey(candidate: string): Promise<boolean>;
  isPublishableKey(token: string): boolean;
}

/** As supabase-js asks for them in a browser. */
const CORS = {
  "access-control-allow-origin": "*",
  "access-control-allow-headers": "authorization, x-client-info, apikey, content-type",
  "access-control-allow-methods": "POST, OPTIONS",
};

const STATUS: Partial<Record<AgentError["code"], number>> = {
  unauthorized: 401,
  forbidden: 403,
  id_conflict: 409,
  unknown_session: 404,
  invalid_frame: 400,
  message_too_large: 413,
  rate_limited: 429,
  relay_unavailable: 503,
  store_unavailable: 503,
  unknown_approval: 404,
  already_decided: 409,
};

/** The path for decisions, after the function's own path. */
const APPROVALS_PATH = "/approvals";

export function createNotifyRoutes(deps: NotifyRouteDeps): Handler {
  return async (request, peer) => {
    if (request.method === "OPTIONS") return new Response(null, { status: 204, headers: CORS });
    if (request.method === "GET" && new URL(request.url).pathname.endsWith("/health")) {
      const { store, relay } = deps;
      return Response.json({ status: "ok", version: VERSION, store: store.name, relay: relay.status });
    }
    try {
      return await post(request, addressKey(request.headers, peer, deps.trustedProxies), deps);
    } catch (thrown) {
      const error = toAgentError(thrown);
      if (error.code === "internal") deps.log.write({ level: "error", event: "notify_failed", error });
      return refuse(
        { status: STATUS[error.code] ?? 500, code: error.code, detail: error.message, ...error.data },
        retryAfter(error),
      );
    }
  };
}

async function post(request: Request, address: string, deps: NotifyRouteDeps): Promise<Response> {
  if (request.method !== "POST") {
    return refuse({ status: 405, code: "method_not_allowed", detail: "Cannot notify: send a POST" }, {
      allow: "POST, OPTIONS",
    });
  }
  const { caller, key } = await identify(request.headers, address, deps);
  checkRate(deps.rateLimiter.take([key]));
  const body: Body = await readBody(request, MAX_BODY_BYTES);
  if ("refusal" in body) return refuse(body.refusal);
  if (new URL(request.url).pathname.endsWith(APPROVALS_PATH)) return await decide(body.json, caller, deps);
  const parsed = parseNotifyRequest(body.json, deps.clock.now());
  if ("problem" in parsed) {
    const { field, expected } = parsed.problem;
    return refuse({
      status: 400,
      code: "invalid_request",
      detail: `Cannot notify: "${field}" ${expected}`,
      field,
    });
  }
  const sent = await deps.notifier.send(parsed.request, caller);
  return Response.json(sent, { status: 202, headers: CORS });
}

async function decide(
  json: unknown,
  caller: Decider,
  { approver, log }: NotifyRouteDeps,
): Promise<Response> {
  const parsed = parseDecisionRequest(json);
  if ("problem" in parsed) {
    const { field, expected } = parsed.problem;
    const detail = `Cannot decide: "${field}" ${expected}`;
    return refuse({ status: 400, code: "invalid_request", detail, field });
  }
  const decided = await approver.decide(parsed.request, caller);
  const { session_id, approval_id, verdict } = parsed.request;
  log.write({ level: "info", event: "approval_decided", session_id, approval_id, verdict, seq: decided.seq });
  return Response.json(decided, { status: 200, headers: CORS });
}

/** A secret key in `apikey` or as Bearer, or a user's token as Bearer; and what the caller's rate is counted under. */
async function identify(
  headers: Headers,
  address: string,
  deps: NotifyRouteDeps,
): Promise<{ caller: Caller & Decider; key: string }> {
  const apiKey = headers.get("apikey") ?? undefined;
  const bearer = bearerOf(headers) || undefined;
  for (const candidate of [apiKey, bearer]) {
    if (candidate !== undefined && await deps.isSecretKey(candidate)) {
      return { caller: { kind: "service" }, key: "service" };
    }
  }
  if (bearer === undefined || deps.isPublishableKey(bearer)) {
    throw new AgentError("unauthorized", "Cannot notify: send a secret key, or a user's token as Bearer");
  }
  // Checking a token may cost a call: an address whose tokens are refused has only so many.
  const refusedKey = `refused:${address}`;
  checkRate(deps.rateLimiter.check(refusedKey));
  const { userId, appMetadata } = await deps.verifier.verify(bearer, address).catch((thrown) => {
    if (toAgentError(thrown).code === "unauthorized") deps.rateLimiter.take([refusedKey]);
    throw thrown;
  });
  const role = appRoleOf({ app_metadata: appMetadata });
  return { caller: { kind: "user", userId, role }, key: `user:${userId}` };
}

/** Throws `rate_limited` for what is too much. */
function checkRate(verdict: RateVerdict): void {
  if (verdict.allowed) return;
  throw new AgentError("rate_limited", `Cannot notify: more than ${verdict.limit} a minute`, {
    retryable: true,
    retryAfterMs: verdict.retryAfterMs,
  });
}

function refuse(refusal: Problem, headers: Record<string, string> = {}): Response {
  return problem(refusal, { ...CORS, ...headers });
}

/** A retryable error says when to retry. */
function retryAfter({ retryable, retryAfterMs = 1000 }: AgentError): Record<string, string> {
  return retryable ? { "retry-after": seconds(retryAfterMs) } : {};
}

function seconds(ms: number): string {
  return String(Math.max(1, Math.ceil(ms / 1000)));
}
