/** Shows events and text to the connections of one session. The core decides to which; this encodes and sends. */

import type { Clock } from "../ports/runtime.ts";
import { CLOSE } from "../protocol/close_codes.ts";
import { deltaEncoder } from "../protocol/delta_encoder.ts";
import type { LogEvent } from "../protocol/log_event.ts";
import { renderEvent, renderStatus } from "../protocol/render.ts";
import { renderTool } from "../protocol/render_tools.ts";
import { isToolEvent } from "../protocol/tool_events.ts";
import type { ServerFrame } from "../protocol/server_frames.ts";
import type { Effect } from "./core/effect.ts";
import { emptyMap, type LazyMap, withEntry, withoutEntry } from "./core/lazy_map.ts";
import { liveConnections, type SessionState } from "./core/state.ts";
import { thoughtsOf } from "./core/thoughts.ts";
import { shownOf } from "./core/turn.ts";
import { inForce, type ModelSettings } from "./model_request.ts";
import type { DeltaSource } from "./send_buffer.ts";
import type { Reader } from "./reader.ts";
import { toError } from "./refusals.ts";

type Of<K extends Effect["kind"]> = Extract<Effect, { kind: K }>;

export interface AudienceOptions {
  clock: Clock;
  /** Read, never changed. */
  state: SessionState;
  settings: ModelSettings;
}

function isAnswerTo(event: LogEvent, { id }: Reader): boolean {
  return event.kind === "configured" && event.connectionId === id;
}

export class Audience {
  readonly readers = new Map<string, Reader>();
  readonly #options: AudienceOptions;
  /** Turns whose text was shown, by turn id, until they end. */
  #sources: LazyMap<string, DeltaSource> = emptyMap();
  /** Turns whose reasoning was shown, by turn id, until they end. */
  #thoughts: LazyMap<string, DeltaSource> = emptyMap();
  /** The newest `ref`: turns are numbered in the order in which their first text or reasoning is shown here. */
  #lastRef = 0;

  constructor(options: AudienceOptions) {
    this.#options = options;
  }

  show({ event, to }: Of<"show">): void {
    let plain: string | undefined;
    let withTools: string | undefined;
    for (const reader of this.#named(to)) {
      if (isAnswerTo(event, reader)) reader.send(this.#frameOf(event, reader));
      else if (reader.wantsTools && isToolEvent(event)) {
        reader.sendText(withTools ??= JSON.stringify(renderTool(event)));
      } else reader.sendText(plain ??= JSON.stringify(renderEvent(event)));
    }
  }

  /** Shows a page as fast as the connection reads. Resolves with the newest `seq` once it was sent, or the connection closed. */
  async replay({ connectionId, events }: Of<"replay">): Promise<number> {
    const reader = this.readers.get(connectionId);
    for (const event of events) {
      if (reader === undefined || reader.isGone) break;
      reader.send(this.#frameOf(event, reader));
      await reader.drained();
    }
    return events.at(-1)?.seq ?? 0;
  }

  /** Shows a piece of a turn's text. */
  showText(effect: Of<"delta">): void {
    const { turnId, queryId } = effect;
    const known = this.#sources.get(turnId);
    if (known !== undefined) return this.#sendPiece(known, effect, true);
    // Otherwise the turn has just ended and none of its text was shown before: there is no text to continue later.
    const isOpen = this.#options.state.turns.get(queryId)?.query.turnId === turnId;
    this.#sendPiece(
      isOpen ? this.#sourceOf(turnId, queryId) : this.#makeSource("delta", effect),
      effect,
      isOpen,
    );
  }

  /** Shows a piece of a turn's reasoning. */
  showReasoning(effect: Of<"reasoning">): void {
    const { turnId, queryId } = effect;
    this.#sendPiece(this.#thoughts.get(turnId) ?? this.#thoughtsOf(turnId, queryId), effect, true);
  }

  /** Sends a piece, encoded once in each form that a reader needs. `mayHold`: a reader that is behind may get it later. */
  #sendPiece(
    source: DeltaSource,
    { offset, content, to }: Of<"delta" | "reasoning">,
    mayHold: boolean,
  ): void {
    let plain: string | undefined;
    let named: string | undefined;
    let short: string | undefined;
    for (const id of to) {
      const reader = this.readers.get(id);
      if (reader === undefined) continue;
      const form = reader.formOf(source);
      const encoded = form === "plain"
        ? plain ??= source.encode(form, offset, content)
        : form === "short"
        ? short ??= source.encode(form, offset, content)
        : named ??= source.encode(form, offset, content);
      if (mayHold) reader.sendDelta(source, offset, encoded);
      else reader.sendText(encoded);
    }
  }

  /**
   * A turn has ended: its terminal event has the whole text, so deltas that were held back are dropped. So is reasoning: it is
   * shown only while the turn runs.
   */
  endText(turnId: string): void {
    for (const source of [this.#sources.get(turnId), this.#thoughts.get(turnId)]) {
      if (source === undefined) continue;
      for (const reader of this.readers.values()) reader.dropHeldDeltas(source);
    }
    this.#sources = withoutEntry(this.#sources, turnId);
    this.#thoughts = withoutEntry(this.#thoughts, turnId);
  }

  /** Sends the status of an open query. */
  acknowledge({ to, queryId, turnId, seq, position }: Of<"acknowledge">): void {
    const now = this.#options.clock.now();
    const fields = { in_reply_to: queryId, turn_id: turnId, ...(seq !== undefined && { seq }) };
    const frame = position === 0
      ? renderStatus("thinking", "Thinking...", now, fields)
      : renderStatus("queued", "Queued", now, { ...fields, data: { position } });
    const text = JSON.stringify(frame);
    for (const reader of this.#named(to)) reader.sendText(text);
  }

  repeatEnd({ connectionId, event }: Of<"repeat_end">): void {
    const frame = { ...renderEvent(event satisfies LogEvent), replay: true } as ServerFrame;
    this.readers.get(connectionId)?.send(frame);
  }

  refuse({ to, queryId, refusal }: Of<"refuse">): void {
    const error = toError(refusal, "take query");
    for (const reader of this.#named(to)) reader.sendError(error, queryId);
  }

  closeSlow({ connectionId }: Of<"close_slow">): void {
    this.readers.get(connectionId)?.close(CLOSE.slowConsumer);
  }

  /** Sends a frame that is not part of the log to every live connection. */
  broadcast(frame: ServerFrame): void {
    const to = liveConnections(this.#options.state);
    if (to.length === 0) return;
    const text = JSON.stringify(frame);
    for (const reader of this.#named(to)) reader.sendText(text);
  }

  /** Answers a `configure` that changed nothing in the log. */
  configuredFrame(reader: Reader, commandId: string | undefined): ServerFrame {
    const data = this.#inForce(reader);
    const fields = { ...(commandId !== undefined && { in_reply_to: commandId }), data };
    return renderStatus("configured", "Configured", this.#options.clock.now(), fields);
  }

  #inForce({ wantsDeltas }: Reader): Record<string, unknown> {
    const { state: { defaults }, settings } = this.#options;
    return { ...inForce(defaults, settings), stream: wantsDeltas };
  }

  /** The connection that changed settings gets all settings in force. */
  #frameOf(event: LogEvent, reader: Reader): ServerFrame {
    const frame = renderEvent(event, { tools: reader.wantsTools });
    if (!isAnswerTo(event, reader)) return frame;
    return { ...frame, data: this.#inForce(reader) } as ServerFrame;
  }

  *#named(ids: readonly string[]): Iterable<Reader> {
    for (const id of ids) {
      const reader = this.readers.get(id);
      if (reader !== undefined) yield reader;
    }
  }

  #sourceOf(turnId: string, queryId: string): DeltaSource {
    const source = this.#makeSource("delta", { turnId, queryId });
    this.#sources = withEntry(this.#sources, turnId, source);
    return source;
  }

  #thoughtsOf(turnId: string, queryId: string): DeltaSource {
    const source = this.#makeSource("reasoning", { turnId, queryId });
    this.#thoughts = withEntry(this.#thoughts, turnId, source);
    return source;
  }

  #makeSource(
    kind: DeltaSource["kind"],
    { turnId, queryId }: { turnId: string; queryId: string },
  ): DeltaSource {
    const { state, clock } = this.#options;
    const textOf = kind === "delta" ? shownOf : thoughtsOf;
    const { ref } = this.#sources.get(turnId) ?? this.#thoughts.get(turnId) ?? { ref: ++this.#lastRef };
    const encode = deltaEncoder({ turnId, queryId, ref }, kind);
    return {
      kind,
      ref,
      get text() {
        const turn = state.turns.get(queryId);
        return turn?.query.turnId === turnId ? textOf(turn) : "";
      },
      encode: (form, offset, content) => encode(form, offset, content, clock.now()),
    };
  }
}
