/** Records what people think of turns. */

import { AgentError } from "../errors.ts";
import type { EventLog, Feedback } from "../ports/event_log.ts";
import type { FeedbackFrame } from "../protocol/client_frames.ts";
import type { StatusFields } from "../protocol/render.ts";

/** Comments whose answer was lost that are remembered; the oldest go past it. */
const MAX_IN_DOUBT = 20;

export interface FeedbackTakerOptions {
  sessionId: string;
  eventLog: EventLog;
  /** For feedback that its client gave no id. */
  newId(): string;
  /** Called with a comment that goes with the next query. */
  onNoted(comment: string): void;
}

export class FeedbackTaker {
  readonly #options: FeedbackTakerOptions;
  /** Ids of `modify` feedback that the store may have, and the model was not given: a repeat is no repeat to it. */
  readonly #inDoubt = new Set<string>();

  constructor(options: FeedbackTakerOptions) {
    this.#options = options;
  }

  /** Takes feedback on a turn, on the last one by default. Rejects with `unknown_turn`, and as the log does. */
  async take(frame: FeedbackFrame, lastTurnId: string | undefined): Promise<StatusFields> {
    const { newId, sessionId, eventLog, onNoted } = this.#options;
    const { id = newId(), verdict, rating, content: comment = "" } = frame;
    const turnId = frame.turn_id ?? lastTurnId;
    if (turnId === undefined) {
      const words = 'Cannot record feedback: "turn_id" must name a turn of this session';
      throw new AgentError("unknown_turn", words);
    }
    const feedback: Feedback = {
      id,
      turnId,
      comment,
      ...(verdict && { verdict }),
      ...(rating && { rating }),
    };
    const isModify = verdict === "modify";
    const { repeated } = await eventLog.recordFeedback(sessionId, feedback).catch((thrown) => {
      if (isModify) this.#doubt(id);
      throw thrown;
    });
    if (isModify && (this.#inDoubt.delete(id) || !repeated)) {
      onNoted(comment);
    }
    return { turn_id: turnId, in_reply_to: id, data: { repeated } };
  }

  #doubt(id: string): void {
    this.#inDoubt.add(id);
    const [oldest] = this.#inDoubt;
    if (this.#inDoubt.size > MAX_IN_DOUBT && oldest !== undefined) this.#inDoubt.delete(oldest);
  }
}
