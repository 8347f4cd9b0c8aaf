/** What people decide about tool calls, and what clients answer to their own. */

import { AgentError } from "../errors.ts";
import { decidesFor } from "../guard/approvers.ts";
import type { Agent } from "../ports/agent.ts";
import type { FeedbackFrame, ToolResultFrame } from "../protocol/client_frames.ts";
import type { StatusFields } from "../protocol/render.ts";
import { nameOfCall } from "./core/act.ts";
import type { SettlingEvent } from "./core/event.ts";
import type { SessionState } from "./core/state.ts";
import { toError } from "./refusals.ts";

export interface CallDecisionsOptions {
  /** For a decision that its client gave no id. */
  newId(): string;
  /** `APPROVERS`. */
  approvers: readonly string[];
  /** Read, never changed. */
  state: SessionState;
  agent: Agent | undefined;
  /** Resolves once the event is the one that counts. Rejects as the log does. */
  settle(action: string, callId: string, event: SettlingEvent): Promise<unknown>;
}

/** The user on a connection of the session. */
export interface SessionDecider {
  /** Undefined in an anonymous session. */
  userId: string | undefined;
  /** `app_metadata.role` of the token. */
  role: string | undefined;
}

export class CallDecisions {
  readonly #options: CallDecisionsOptions;

  constructor(options: CallDecisionsOptions) {
    this.#options = options;
  }

  /**
   * Decides about a tool call that waits for it. Resolves once the decision is the one that counts. Rejects with `forbidden` where
   * `APPROVERS` excludes the user, `unknown_approval`, `already_decided`, `invalid_args` where the edited input does not fit the tool,
   * and as the log does.
   */
  async decide(
    { approval_id: callId = "", verdict, content = "", input, id = this.#options.newId() }: FeedbackFrame,
    { userId, role }: SessionDecider,
  ): Promise<StatusFields> {
    if (verdict === undefined) {
      throw new AgentError("invalid_frame", 'Cannot decide: "verdict" must be approve, reject or modify');
    }
    decidesFor(this.#options.approvers, role);
    const event: SettlingEvent = {
      kind: "approval_decided",
      decisionId: id,
      verdict,
      ...(verdict === "modify" && await this.#checked(callId, input)),
      ...(content !== "" && { comment: content }),
      ...(userId !== undefined && { by: userId }),
    };
    await this.#options.settle("decide", callId, event);
    return { in_reply_to: id, data: { approval_id: callId, verdict } };
  }

  /** Takes the result of a tool that a client has run. Rejects with `unknown_call`, `already_decided`, and as the log does. */
  async takeResult(
    { call_id: callId, output = null, error, id }: ToolResultFrame,
    connectionId: string,
  ): Promise<StatusFields> {
    const { agent, settle, state } = this.#options;
    const name = nameOfCall(state, callId);
    if (name === undefined || agent === undefined) throw toError({ code: "unknown_call" }, "take result");
    const result = await agent.clientResult(name, error === undefined ? output : { error });
    const outcome = error === undefined ? result.outcome : "error";
    await settle("take result", callId, {
      kind: "tool_result",
      outcome,
      output: result.output,
      connectionId,
    });
    return { ...(id !== undefined && { in_reply_to: id }), data: { call_id: callId } };
  }

  async #checked(callId: string, input: unknown): Promise<{ input: unknown }> {
    const { agent, state } = this.#options;
    const name = nameOfCall(state, callId);
    if (name === undefined || agent === undefined) throw toError({ code: "unknown_approval" }, "decide");
    const checked = await agent.check(name, input);
    if ("problem" in checked) {
      throw new AgentError("invalid_args", `Cannot decide: "input" ${checked.problem}`);
    }
    return checked;
  }
}
