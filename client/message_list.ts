/** The turns of a client as messages, with the same objects as long as nothing changes. */

import type { ServerFrame } from "./frames.ts";
import type { TurnRecord } from "./turn_record.ts";
import {
  type AgentMessageMetadata,
  type AgentUIMessage,
  answerMessage,
  questionMessage,
} from "./ui_messages.ts";

/** The messages of a turn, and what they were made from. */
interface Made {
  from: readonly unknown[];
  messages: readonly AgentUIMessage[];
}

export class MessageList {
  /** Turns that a `clear` has removed from the conversation. */
  readonly #hidden = new WeakSet<TurnRecord>();
  readonly #made = new WeakMap<TurnRecord, Made>();
  #list: AgentUIMessage[] = [];

  /** Handles an event of the session: hides the turns that it removes from the conversation. */
  take(frame: ServerFrame, turns: readonly TurnRecord[]): void {
    if (frame.type !== "status" || frame.code !== "cleared") return;
    for (const turn of turns) if (turn.place < (frame.seq ?? 0)) this.#hidden.add(turn);
  }

  /** The messages of the turns. The list is a new one only if a message has changed. */
  of(turns: readonly TurnRecord[]): AgentUIMessage[] {
    const list = turns.flatMap((turn) => this.#hidden.has(turn) ? [] : this.#messagesOf(turn));
    if (list.length !== this.#list.length || list.some((message, index) => message !== this.#list[index])) {
      this.#list = list;
    }
    return this.#list;
  }

  #messagesOf(turn: TurnRecord): readonly AgentUIMessage[] {
    const { id, turnId, question, state, text, reasoning } = turn;
    const from = [id, turnId, question, state, text, reasoning];
    const made = this.#made.get(turn);
    if (made !== undefined && from.every((value, index) => value === made.from[index])) return made.messages;
    const asked = made?.messages.find((message) => message.id === id) ??
      (question === undefined ? undefined : questionMessage(id, question));
    const messages = [asked ?? [], answerOf(turn) ?? []].flat();
    this.#made.set(turn, { from, messages });
    return messages;
  }
}

function answerOf(
  { turnId, text, reasoning, isSettled, answer, error }: TurnRecord,
): AgentUIMessage | undefined {
  if (turnId === undefined) return undefined;
  const metadata: AgentMessageMetadata = { turnId };
  if (answer?.model !== undefined) metadata.model = answer.model;
  if (answer?.usage !== undefined) metadata.usage = answer.usage;
  if (error !== undefined) Object.assign(metadata, { outcome: "failed", reason: error.code });
  else if (answer?.outcome === "cancelled") {
    Object.assign(metadata, { outcome: "cancelled", reason: answer.finishReason });
  }
  return answerMessage(metadata, { text, reasoning, state: isSettled ? "done" : "streaming" });
}
