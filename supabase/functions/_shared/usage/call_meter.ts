/** Accounts for the requests of one model call: its retries too. */

import type { Attempt, AttemptEnd, AttemptMeter, AttemptRequest } from "../ports/attempt.ts";
import type { Clock, Ids } from "../ports/runtime.ts";
import type { AttemptOutcome, AttemptRow } from "../ports/usage.ts";
import type { Usage } from "../protocol/log_event.ts";
import { promptTokens, tokensOf, utf8Bytes } from "./token_estimate.ts";
import { FLUSH_MS, OPEN_MS, type UsageQueue } from "./usage_queue.ts";

/** Of what a provider names: an index holds no more than a part of a page. */
const MAX_NAME_CHARS = 200;
/** Reserved for an answer for which the operator has set no limit. */
const UNBOUND_TOKENS = 4096;

/** What a call is made for. */
export interface MeteredCall {
  sessionId: string;
  turnId: string;
  userId: string | undefined;
  /** As in {@linkcode AttemptRow}. */
  quotaKeys: readonly string[];
}

/** Why a call ended, as its session knows it. */
export type CallOutcome = Exclude<AttemptOutcome, "open">;

export interface CallMeterDeps {
  clock: Clock;
  ids: Pick<Ids, "uuid">;
  queue: UsageQueue;
  /** Whether there is a budget, from which each request reserves its part. */
  isLimited: boolean;
  /** Called at the end of each request that reached the provider. */
  onEnded(row: AttemptRow, how: AttemptEnd["how"]): void;
}

export class CallMeter implements AttemptMeter {
  readonly #call: MeteredCall;
  readonly #deps: CallMeterDeps;
  readonly #attempts: MeteredAttempt[] = [];
  #outcome: CallOutcome | undefined;

  constructor(call: MeteredCall, deps: CallMeterDeps) {
    this.#call = call;
    this.#deps = deps;
  }

  get unboundTokens(): number | undefined {
    return this.#deps.isLimited ? UNBOUND_TOKENS : undefined;
  }

  begin(request: AttemptRequest): Attempt | Promise<Attempt> {
    const { queue, isLimited } = this.#deps;
    const row = openRow(this.#call, request, this.#deps);
    const { maxTokens = UNBOUND_TOKENS } = request;
    if (!isLimited) return this.#open(row, request.maxTokens);
    return queue.reserve({ row, maxTokens }).then((granted) => this.#open(row, granted));
  }

  /** The call has ended for its session. It may not have noticed yet itself. */
  ended(outcome: CallOutcome): void {
    this.#outcome = outcome;
    this.#attempts.at(-1)?.rename(outcome);
  }

  /** What all its requests have used so far; undefined if none was sent. */
  get usage(): Usage | undefined {
    const rows = this.#attempts.filter(({ isSent }) => isSent).map(({ row }) => row);
    if (rows.length === 0) return undefined;
    const sum = (of: (row: AttemptRow) => number): number => rows.reduce((total, row) => total + of(row), 0);
    const [prompt, completion] = [sum((row) => row.promptTokens), sum((row) => row.completionTokens)];
    const reasoning = sum((row) => row.reasoningTokens);
    return {
      prompt_tokens: prompt,
      completion_tokens: completion,
      total_tokens: prompt + completion,
      ...(reasoning > 0 && { reasoning_tokens: reasoning }),
      ...(rows.every(({ cost }) => cost !== undefined) && { cost: sum(({ cost = 0 }) => cost) }),
      ...(rows.some(({ estimated }) => estimated) && { estimated: true as const }),
    };
  }

  #open(row: AttemptRow, maxTokens: number | undefined): Attempt {
    const attempt = new MeteredAttempt(row, maxTokens, this.#deps, () => this.#outcome);
    this.#attempts.push(attempt);
    return attempt;
  }
}

/** The row of a request that is about to be sent. */
export function openRow(
  call: MeteredCall,
  request: AttemptRequest,
  { ids, clock }: Pick<CallMeterDeps, "ids" | "clock">,
): AttemptRow {
  return {
    ...call,
    id: ids.uuid(),
    model: nameOf(request.models[0] ?? ""),
    generationId: undefined,
    promptTokens: promptTokens(request),
    completionTokens: 0,
    reasoningTokens: 0,
    cost: undefined,
    estimated: true,
    outcome: "open",
    begunAt: clock.now(),
    endedAt: undefined,
  };
}

class MeteredAttempt implements Attempt {
  readonly maxTokens: number | undefined;
  readonly #deps: CallMeterDeps;
  readonly #callOutcome: () => CallOutcome | undefined;
  #row: AttemptRow;
  #how: AttemptEnd["how"] | undefined;
  /** Of the answer's text, and of the reasoning before it. */
  #bytes = 0;
  #thoughtBytes = 0;

  constructor(
    row: AttemptRow,
    maxTokens: number | undefined,
    deps: CallMeterDeps,
    callOutcome: () => CallOutcome | undefined,
  ) {
    this.maxTokens = maxTokens;
    this.#row = row;
    this.#deps = deps;
    this.#callOutcome = callOutcome;
  }

  get isSent(): boolean {
    return this.#how !== "unsent";
  }

  get row(): AttemptRow {
    if (this.#how !== undefined) return this.#row;
    const reasoningTokens = tokensOf(this.#thoughtBytes);
    return { ...this.#row, completionTokens: tokensOf(this.#bytes) + reasoningTokens, reasoningTokens };
  }

  reached(generationId: string | undefined): void {
    if (generationId !== undefined) {
      this.#row = { ...this.#row, generationId: nameOf(generationId) };
    }
    const { queue, isLimited } = this.#deps;
    // For whoever takes the turn over, if this worker is killed.
    queue.save(this.#row, isLimited ? FLUSH_MS : OPEN_MS);
  }

  said(text: string): void {
    this.#bytes += utf8Bytes(text);
  }

  thought(text: string): void {
    this.#thoughtBytes += utf8Bytes(text);
  }

  end({ how, model, generationId, usage }: AttemptEnd): void {
    if (this.#how !== undefined) return;
    const { clock, queue, isLimited, onEnded } = this.#deps;
    const row = this.row;
    this.#how = how;
    if (how === "unsent") {
      if (isLimited) queue.forget(row.id);
      return;
    }
    this.#row = {
      ...row,
      ...(model !== undefined && { model: nameOf(model) }),
      ...(generationId !== undefined && { generationId: nameOf(generationId) }),
      // What the provider refuses it does not count.
      ...(how === "refused" && { promptTokens: 0 }),
      ...(usage !== undefined && reported(usage)),
      outcome: outcomeOf(how, this.#callOutcome()),
      endedAt: clock.now(),
    };
    this.#save();
    onEnded(this.#row, how);
  }

  /** Its call has ended for this reason. */
  rename(outcome: CallOutcome): void {
    // An open one takes the name with its end.
    if (this.#how === undefined || this.#how === "unsent") return;
    const renamed = outcomeOf(this.#how, outcome);
    if (renamed === this.#row.outcome) return;
    this.#row = { ...this.#row, outcome: renamed };
    this.#save();
  }

  #save(): void {
    const { queue, isLimited } = this.#deps;
    // With a budget the next request must not have to wait for what this one did not use.
    queue.save(this.#row, isLimited ? 0 : FLUSH_MS);
  }
}

function outcomeOf(how: AttemptEnd["how"], call: CallOutcome | undefined): CallOutcome {
  if (call === "in_vain" || call === "lost") return call;
  if (how === "completed") return "completed";
  if (how !== "aborted") return "failed";
  return call === undefined || call === "completed" || call === "failed" ? "interrupted" : call;
}

function reported(usage: Usage): Partial<AttemptRow> {
  return {
    promptTokens: usage.prompt_tokens,
    completionTokens: usage.completion_tokens,
    reasoningTokens: usage.reasoning_tokens ?? 0,
    cost: usage.cost,
    estimated: usage.estimated === true,
  };
}

/** A name as the database takes it: one that it refuses would cost a whole batch of rows. */
function nameOf(text: string): string {
  return text.slice(0, MAX_NAME_CHARS).replaceAll("\0", "").toWellFormed();
}
