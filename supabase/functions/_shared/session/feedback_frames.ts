/** Frames with what a person thinks, decides or has done. Each is answered with a `status` when its effect is certain. */

import { appRoleOf } from "../token_claims.ts";
import type { Clock } from "../ports/runtime.ts";
import type { FeedbackFrame, ToolResultFrame } from "../protocol/client_frames.ts";
import { renderStatus, type StatusFields } from "../protocol/render.ts";
import type { Connection } from "./connection.ts";
import type { Session } from "./session.ts";

export interface FeedbackPlace {
  connection: Connection;
  session: Session;
  clock: Clock;
}

/** Rejects with what the session rejects it with. */
export async function takeFromPerson(
  frame: FeedbackFrame | ToolResultFrame,
  { connection, session, clock }: FeedbackPlace,
): Promise<void> {
  const answer = (code: string, words: string, fields: StatusFields): void =>
    connection.send(renderStatus(code, words, clock.now(), fields));
  if (frame.type === "tool_result") {
    const taken = await session.calls.takeResult(frame, connection.id);
    return answer("tool_result_received", "Result received", taken);
  }
  if (frame.approval_id === undefined) {
    return answer("feedback_received", "Feedback received", await session.takeFeedback(frame));
  }
  const { identity } = connection;
  const by = {
    userId: identity?.kind === "user" ? identity.userId : undefined,
    role: appRoleOf(connection.accessToken(clock.now())?.claims),
  };
  answer("decision_received", "Decision received", await session.calls.decide(frame, by));
}
