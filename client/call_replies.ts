/** Decisions and results that a page has sent in the parts of a message, on their way to the server. */

import { AgentClientError } from "./error.ts";
import type { CallReply, GivenCalls, Reply } from "./tool_chunks.ts";
import { GIVEN } from "./tool_chunks.ts";
import type { ToolClient } from "./tool_client.ts";

/** Errors after which the answer goes on: it shows what counts. */
const SETTLED: readonly string[] = ["already_decided", "unknown_approval", "unknown_call"];

export class CallReplies {
  /** Calls about which something is on its way. */
  readonly #due = new Set<string>();
  /** What the page has of each call. */
  readonly given: GivenCalls;
  /** Why a reply was refused, if that ends the request. */
  error: AgentClientError | undefined;
  /** A reply was accepted or refused. */
  onChange = (): void => {};

  constructor(client: ToolClient, { turnId, given, calls }: Reply) {
    const shown = new Map(given);
    for (const { callId, state } of client.callsOf(turnId)) {
      const reply = calls.get(callId);
      if (reply === undefined) continue;
      // The result that the page shows may not be the one that counts.
      if ("answer" in reply && state === "client") shown.set(callId, GIVEN.call);
      const sent = send(client, callId, state, reply);
      if (sent !== undefined) this.#await(callId, sent);
    }
    this.given = shown;
  }

  isDue(callId: string): boolean {
    return this.#due.has(callId);
  }

  #await(callId: string, sent: Promise<void>): void {
    this.#due.add(callId);
    sent.catch((error: unknown) => {
      this.#due.delete(callId);
      if (!(error instanceof AgentClientError) || SETTLED.includes(error.code)) return;
      this.error ??= error;
    }).finally(() => this.onChange());
  }
}

/** Undefined if the call does not wait for such a reply. */
function send(
  client: ToolClient,
  callId: string,
  state: string,
  reply: CallReply,
): Promise<void> | undefined {
  if ("answer" in reply) return state === "client" ? client.answer(callId, reply.answer) : undefined;
  if (state !== "approval") return undefined;
  const { approved, reason } = reply;
  if (!approved) return client.reject(callId, reason);
  if ("input" in reply) return client.modify(callId, reply.input);
  return client.approve(callId, reason === undefined ? {} : { comment: reason });
}
