/** The frames of a turn that calls tools, for tests of clients. */

/** A turn with these ids, whose frames have the numbers 1, 2, 3 … from `seq` on. */
export class ToolFrames {
  readonly queryId: string;
  readonly turnId: string;
  seq: number;

  constructor(queryId: string, seq = 1) {
    this.queryId = queryId;
    this.turnId = `t-${queryId}`;
    this.seq = seq;
  }

  callId(place: number, step = 1): string {
    return `${this.turnId}:${step}.1:${place}`;
  }

  thinking(): Record<string, unknown> {
    return { ...this.#next("status"), code: "thinking" };
  }

  call(
    name: string,
    fields: { place?: number; step?: number; needs?: string; input?: unknown; text?: string } = {},
  ): Record<string, unknown> {
    const { place = 0, step = 1, needs = "nothing", input = {}, text } = fields;
    return {
      ...this.#next("tool_call", this.callId(place, step)),
      step,
      name,
      input,
      needs,
      ...(needs !== "nothing" && { expires_at: EXPIRES_AT }),
      ...(text !== undefined && { text }),
    };
  }

  requested(name: string, input: unknown = {}, place = 0, step = 1): Record<string, unknown> {
    const id = this.callId(place, step);
    return { ...this.#next("approval_requested", id), approval_id: id, name, input, expires_at: EXPIRES_AT };
  }

  decided(
    verdict: string,
    fields: Record<string, unknown> = {},
    place = 0,
    step = 1,
  ): Record<string, unknown> {
    const id = this.callId(place, step);
    return { ...this.#next("approval_decided", id), approval_id: id, verdict, ...fields };
  }

  started(name: string, place = 0, step = 1): Record<string, unknown> {
    return { ...this.#next("tool_started", this.callId(place, step)), name };
  }

  result(name: string, output: string, outcome = "ok", place = 0, step = 1): Record<string, unknown> {
    return { ...this.#next("tool_result", this.callId(place, step)), name, outcome, output };
  }

  delta(offset: number, content: string): Record<string, unknown> {
    return { type: "delta", content, timestamp: "", turn_id: this.turnId, in_reply_to: this.queryId, offset };
  }

  response(content: string): Record<string, unknown> {
    return { ...this.#next("response"), content, finish_reason: "stop", model: "m" };
  }

  cancelled(): Record<string, unknown> {
    return { ...this.#next("status"), code: "cancelled", reason: "cancelled" };
  }

  #next(type: string, callId?: string): Record<string, unknown> {
    return {
      type,
      content: type,
      timestamp: "",
      seq: this.seq++,
      turn_id: this.turnId,
      in_reply_to: this.queryId,
      ...(callId !== undefined && { call_id: callId }),
    };
  }
}

export const EXPIRES_AT = "2025-01-02T00:00:00.000Z";
