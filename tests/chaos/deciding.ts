/**
 * What the people of a conversation do about its tool calls: they approve, reject and edit, late, twice or never, from any tab or over
 * HTTP; they answer calls that a client runs; and they lose patience. Strangers try as well.
 */

import { decideOverHttp } from "./approvals.ts";
import type { Frame } from "./frames.ts";
import type { Random } from "./random.ts";
import type { ConversationRecord, SeenEvent } from "./records.ts";
import type { ClientResultRecord, DecisionRecord, Verdict } from "./tool_records.ts";
import { shownIn } from "./tool_log.ts";
import type { World } from "./world.ts";

export interface DecidingOptions {
  record: ConversationRecord;
  random: Random;
  world: World;
  /** The token of a signed-in user. */
  token: string | undefined;
  /** Sends a frame from a tab; the number chooses one. A tab without a connection drops it. */
  say(frame: Readonly<Record<string, unknown>>, tab: number): void;
  /** Stops the turn of a query, or asks something that does. */
  interrupt(queryId: string): void;
  /** Whether nothing has to be decided any more about the query's calls. */
  isOver(queryId: string): boolean;
}

interface Pending {
  callId: string;
  queryId: string;
  /** Where the call is in its turn: the same whenever a run is repeated. */
  place: string;
}

const RETRY_MS = 700;
/** How long people think at most before they decide. */
const THINKING_MS = 1500;
/** Longer than a call waits (`APPROVAL_TIMEOUT` in world.ts). */
const MAX_TRIES = 20;
const LATE_MS = 200;

export class Deciding {
  readonly #options: DecidingOptions;
  /** Calls that have been looked at. */
  readonly #seen = new Set<string>();
  /** Calls of which a decision or a result was seen. */
  readonly #settled = new Set<string>();
  readonly #open = new Map<string, DecisionRecord | ClientResultRecord>();

  constructor(options: DecidingOptions) {
    this.#options = options;
  }

  /** Looks at an event that a tab has received. */
  take({ kind, key }: SeenEvent, frame: Frame): void {
    if (kind === "approval_decided" || kind === "tool_result") this.#settled.add(key);
    const { name, input, expires_at: expiresAt = "" } = shownIn(frame);
    const isApproval = kind === "approval_requested";
    if (!isApproval && !(kind === "tool_call" && name === "pick") || this.#seen.has(key)) return;
    this.#seen.add(key);
    const { in_reply_to: queryId = "" } = frame;
    const call = { callId: key, queryId, place: key.replace(/^.*:(\d+)\.\d+:(\d+)$/, "$1:$2") };
    void (isApproval ? this.#decide(call, { input, expiresAt: Date.parse(expiresAt) }) : this.#answer(call));
  }

  /** Takes an answer to what was sent. Returns false if it is about something else. */
  answered({ type, code = "", in_reply_to: id = "", retryable }: Frame): boolean {
    const sent = this.#open.get(id);
    if (sent === undefined) return false;
    if (type === "error") {
      if (!retryable) sent.answer ??= code;
      return true;
    }
    if (code === "decision_received" || code === "tool_result_received") sent.answer ??= "received";
    return true;
  }

  async #decide(call: Pending, { input, expiresAt }: { input: unknown; expiresAt: number }): Promise<void> {
    const { random: source, interrupt } = this.#options;
    const random = source.fork(`${call.queryId} ${call.place}`);
    const fate = random.next();
    await wait(random.magnitude(1, THINKING_MS));
    if (fate < 0.07) return;
    if (fate < 0.12) return interrupt(call.queryId);
    if (fate < 0.16) {
      await wait(expiresAt - Date.now() + LATE_MS);
      return await this.#press(call, random, { verdict: "approve" });
    }
    if (fate < 0.24) await this.#forge(call, random);
    const verdict = verdictOf(random);
    if (fate < 0.28 && verdict === "modify") {
      // Not what the tool takes. The call still waits.
      await this.#press(call, random, { verdict, input: { amount: "much" } }, "client");
    }
    const first = this.#press(call, random, decisionOf(verdict, input, random));
    const second = fate > 0.86
      ? this.#press(call, random, decisionOf(verdictOf(random), input, random))
      : undefined;
    await Promise.all([first, second]);
  }

  /** Sends a decision until it is answered, or its call is settled. */
  async #press(
    { callId, queryId }: Pending,
    random: Random,
    decision: Pick<DecisionRecord, "verdict" | "input" | "comment">,
    by: "client" | "service" | "user" = random.pick(this.#deciders()),
  ): Promise<void> {
    const sent = this.#note({ callId, by, ...decision }, random);
    const tab = random.int(0, 1);
    for (let tries = 0; tries < MAX_TRIES && !this.#isDone(sent, queryId); tries++) {
      if (by === "client") this.#options.say(frameOf(sent), tab + tries);
      else await this.#decideOverHttp(sent, by === "user" ? this.#options.token : undefined);
      await wait(RETRY_MS);
    }
  }

  /** The ways in which this conversation's people may decide. */
  #deciders(): ["client", ...("client" | "service" | "user")[]] {
    const others = this.#options.token === undefined ? ["service"] as const : ["service", "user"] as const;
    return ["client", "client", "client", ...others];
  }

  /** Tries decisions that must have no effect. */
  async #forge({ callId }: Pending, random: Random): Promise<void> {
    const { say, world } = this.#options;
    if (random.chance(0.5)) {
      const forged = this.#note(
        { callId: `${callId}0`, by: "stranger", verdict: "approve" },
        random,
      );
      say(frameOf(forged), 0);
      return;
    }
    const forged = this.#note({ callId, by: "stranger", verdict: "approve" }, random);
    await this.#decideOverHttp(forged, await world.stack.token());
  }

  async #decideOverHttp(sent: DecisionRecord, token: string | undefined): Promise<void> {
    const { world, record: { sessionId } } = this.#options;
    const answer = await decideOverHttp(world.stack, { sessionId, decision: sent, token });
    if (answer !== undefined) sent.answer ??= answer;
  }

  /** A client runs the call, or two do. */
  async #answer(call: Pending): Promise<void> {
    const { random: source, interrupt } = this.#options;
    const random = source.fork(`${call.queryId} ${call.place}`);
    const fate = random.next();
    await wait(random.magnitude(1, THINKING_MS));
    if (fate < 0.07) return;
    if (fate < 0.12) return interrupt(call.queryId);
    if (fate < 0.2) await this.#sendResult({ ...call, callId: `${call.callId}0` }, random, 1);
    const first = this.#sendResult(call, random);
    await Promise.all([first, fate > 0.75 ? this.#sendResult(call, random) : undefined]);
  }

  async #sendResult({ callId, queryId }: Pending, random: Random, most = MAX_TRIES): Promise<void> {
    const id = `result ${random.int(0, 1e9)}`;
    const fails = random.chance(0.1);
    const words = `picked ${random.int(0, 1e9)}`;
    const sent: ClientResultRecord = { id, callId, words };
    this.#options.record.clientResults.push(sent);
    this.#open.set(id, sent);
    const outcome = fails ? { error: words } : { output: { words } };
    const tab = random.int(0, 1);
    for (let tries = 0; tries < most && !this.#isDone(sent, queryId); tries++) {
      this.#options.say({ type: "tool_result", call_id: callId, id, ...outcome }, tab + tries);
      await wait(RETRY_MS);
    }
  }

  #note(decision: Omit<DecisionRecord, "id" | "answer">, random: Random): DecisionRecord {
    const sent: DecisionRecord = { id: `decision ${random.int(0, 1e9)}`, ...decision };
    this.#options.record.decisions.push(sent);
    this.#open.set(sent.id, sent);
    return sent;
  }

  #isDone({ callId, answer }: DecisionRecord | ClientResultRecord, queryId: string): boolean {
    return answer !== undefined || this.#settled.has(callId) || this.#options.isOver(queryId);
  }
}

function verdictOf(random: Random): Verdict {
  return random.pick(["approve", "approve", "approve", "reject", "modify"]);
}

function decisionOf(
  verdict: Verdict,
  input: unknown,
  random: Random,
): Pick<DecisionRecord, "verdict" | "input" | "comment"> {
  if (verdict === "reject") {
    return { verdict, ...(random.chance(0.5) && { comment: `no "${random.int(1, 99)}"` }) };
  }
  if (verdict === "approve" || typeof input !== "object") return { verdict: "approve" };
  return { verdict, input: { ...input, amount: random.int(1, 100) } };
}

function frameOf({ id, callId, verdict, input, comment }: DecisionRecord): Record<string, unknown> {
  const edited = {
    ...(input !== undefined && { input }),
    ...(comment !== undefined && { content: comment }),
  };
  return { type: "human_feedback", id, approval_id: callId, verdict, ...edited };
}

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)));
}
