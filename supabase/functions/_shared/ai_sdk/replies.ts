/** Decisions about tool calls, and results of tools of the page, on their way to the session. */

import { toAgentError } from "../errors.ts";
import type { ErrorFrame } from "../protocol/server_frames.ts";
import type { Answer } from "./answer.ts";
import type { Answers } from "./answers.ts";
import type { Pending, PendingRequests } from "./pending_requests.ts";
import { frameOf, type Reply, type ReplyFields, type ReplyFrame } from "./reply.ts";
import { type CallSoFar, GIVEN, givenOf } from "./tool_steps.ts";

/** Errors after which the answer goes on: it shows what counts. */
const SETTLED: ReadonlySet<string> = new Set(["already_decided", "unknown_approval", "unknown_call"]);

interface Sent {
  requestId: string;
  callId: string;
  answer: Answer;
}

export interface RepliesOptions {
  /** Of one frame. */
  maxBytes: number;
  pending: PendingRequests;
  answers(): Answers | undefined;
  handOn(frame: ReplyFrame): void;
}

export class Replies {
  readonly #options: RepliesOptions;
  /** By the id of their frame. */
  readonly #sent = new Map<string, Sent>();

  constructor(options: RepliesOptions) {
    this.#options = options;
  }

  /** Sends what the page says about calls that wait, and answers the request with what follows in the answer. */
  send(requestId: string, { stream }: Pending, reply: Reply): void {
    const { pending, answers, handOn } = this.#options;
    const { turnId, given } = reply;
    const answer = answers()?.ofTurn(turnId);
    if (answer === undefined) {
      if (answers()?.finishLast(turnId, stream, given) === true) return pending.delete(requestId);
      const words = "Cannot go on: the answer has ended, or is not of this conversation";
      return pending.fail(requestId, "unknown_turn", words);
    }
    try {
      const due = this.#begin(requestId, reply, answer);
      for (const frame of due) handOn(frame);
    } catch (thrown) {
      const { code, message } = toAgentError(thrown);
      pending.fail(requestId, code, message);
    }
  }

  accepted(frameId: string | undefined): void {
    this.#sent.delete(frameId ?? "");
  }

  /** Returns false if the refused frame is none of these. */
  refused({ in_reply_to: frameId = "", code, content }: ErrorFrame): boolean {
    const sent = this.#sent.get(frameId);
    if (sent === undefined) return false;
    this.#sent.delete(frameId);
    const { requestId, callId, answer } = sent;
    const { pending } = this.#options;
    const request = pending.get(requestId);
    if (request !== undefined && !SETTLED.has(code)) {
      answer.leave(request.stream);
      pending.fail(requestId, code, content);
    }
    answer.refused(callId);
    return true;
  }

  /** Listens to the answer. Returns the frames to send. Throws an `AgentError` if one of them cannot be sent. */
  #begin(requestId: string, { given, fields }: Reply, answer: Answer): ReplyFrame[] {
    const due = new Map<string, ReplyFrame>();
    const shown = new Map(given);
    for (const call of answer.tools.calls) {
      const { callId, needs } = call;
      const said = fields.get(callId);
      if (said === undefined) continue;
      // The result that the page shows may not be the one that counts.
      if (needs === "client") shown.set(callId, GIVEN.call);
      // Unlike any other id in the session: request ids are random.
      const id = `${requestId.slice(0, 100)}~${due.size}`;
      if (isWanted(call, said)) due.set(callId, frameOf(said, id, this.#options.maxBytes));
    }
    for (const [callId, { id }] of due) {
      answer.expect(callId);
      this.#sent.set(id, { requestId, callId, answer });
    }
    const request = this.#options.pending.get(requestId);
    if (request !== undefined) {
      request.answer = answer;
      this.#options.answers()?.listen(answer, request.stream, shown);
    }
    return [...due.values()];
  }
}

function isWanted(call: CallSoFar, { type }: ReplyFields): boolean {
  const known = givenOf(call);
  return type === "tool_result" ? call.needs === "client" && known < GIVEN.result : known === GIVEN.request;
}
