/** Decides about tool calls for other functions, and for people who may decide for others. */

import { AgentError } from "../errors.ts";
import { decidesFor } from "../guard/approvers.ts";
import type { ApprovalStore } from "../ports/approvals.ts";
import type { Ids } from "../ports/runtime.ts";
import type { SessionOwner } from "../ports/session_store.ts";
import type { DecisionRequest } from "../protocol/decision_request.ts";
import type { SessionCall } from "../protocol/session_call.ts";

/** Who decides: the project itself, or a user with the `role` of her `app_metadata`. */
export type Decider = { kind: "service" } | { kind: "user"; userId: string; role: string | undefined };

export interface ApproverOptions {
  ids: Pick<Ids, "uuid">;
  /** Who may decide: `user` for the session's own, and roles of `app_metadata.role` for everybody's. */
  approvers: readonly string[];
  /** Undefined where sessions are kept in memory. */
  store(): Promise<ApprovalStore | undefined>;
  /** Rings the workers that hold a session. */
  call(sessionId: string, call: SessionCall): void;
  /** Has a worker open the session, which perhaps nobody has open. */
  wake(sessionId: string): void;
}

export class Approver {
  readonly #options: ApproverOptions;

  constructor(options: ApproverOptions) {
    this.#options = options;
  }

  /** Resolves with the `seq` of the decision. Rejects as the store does, and with `forbidden`. */
  async decide(request: DecisionRequest, decider: Decider): Promise<{ seq: number }> {
    const { session_id: sessionId, approval_id: approvalId, verdict, input, content, id, by } = request;
    const claims = this.#claimsOf(decider);
    const store = await this.#options.store();
    if (store === undefined) {
      throw new AgentError("unknown_session", "Cannot decide: there is no session of this id");
    }
    const who = decider.kind === "user" ? decider.userId : by;
    const { seq } = await store.decide({
      sessionId,
      approvalId,
      claims,
      decisionId: id ?? this.#options.ids.uuid(),
      verdict,
      ...(verdict === "modify" && { input }),
      ...(content !== undefined && content !== "" && { comment: content }),
      ...(who !== undefined && { by: who }),
    });
    this.#options.call(sessionId, { kind: "appended", seq });
    this.#options.wake(sessionId);
    return { seq };
  }

  /** Whose sessions the decider may decide for; undefined: everybody's. */
  #claimsOf(decider: Decider): readonly SessionOwner[] | undefined {
    if (decider.kind === "service") return undefined;
    if (decidesFor(this.#options.approvers, decider.role) === "everybody") return undefined;
    return [{ kind: "user", userId: decider.userId }];
  }
}
