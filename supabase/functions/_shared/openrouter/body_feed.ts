/** Takes the text of a body apart: an event stream, or one JSON object instead. */

import { createParser, type EventSourceParser } from "eventsource-parser";
import { type AttemptFailure, brokenStream, notAStream, webPage } from "./attempt_failure.ts";
import { isRecord } from "./json_values.ts";
import type { ReplyAssembler } from "./reply_assembler.ts";
import { isError, isErrorBody, reportedError } from "./reported_error.ts";

/** Longest event of a stream, in characters, or body; one that is longer is a failure, and is not kept. */
export const MAX_EVENT_CHARS = 1_048_576;
/** How much text after the last event is kept, in characters: an error may be there that is no event. */
export const MAX_TAIL_CHARS = 8192;

/** `unknown` before the first character that is no white space. */
type Form = "unknown" | "events" | "json";

/** Feeds a {@linkcode ReplyAssembler}. */
export class BodyFeed {
  readonly #reply: ReplyAssembler;
  readonly #parser: EventSourceParser;
  #form: Form = "unknown";
  /** A JSON body so far, and its length. */
  readonly #pieces: string[] = [];
  #chars = 0;
  /** The text of the last read that had an event, and of those after it. */
  #tail = "";
  #hadEvent = false;
  #isEvent = false;

  constructor(reply: ReplyAssembler) {
    this.#reply = reply;
    this.#parser = createParser({
      maxBufferSize: MAX_EVENT_CHARS,
      onEvent: ({ data, event }): void => {
        // The parser's own cap is on what it keeps from one read to the next.
        if (data.length > MAX_EVENT_CHARS) throw tooLong();
        this.#isEvent = true;
        reply.add(data, event);
      },
      onError({ type }): void {
        if (type === "max-buffer-size-exceeded") throw tooLong();
      },
    });
  }

  /** The model has begun its answer. A JSON body begins with it: a server that keeps the connection alive sends white space. */
  get begun(): boolean {
    return this.#form === "json" || this.#reply.begun;
  }

  /** Takes the text of one read. Throws an {@linkcode AttemptFailure}, as the assembler does. */
  add(text: string): void {
    switch (this.#form) {
      case "events":
        return this.#addEvents(text);
      case "json":
        return this.#addJson(text);
      case "unknown":
        return this.#addFirst(text.trimStart());
    }
  }

  /** The body has ended. Throws an {@linkcode AttemptFailure} if it had something that is no answer. */
  end(): void {
    if (this.#form === "json") return this.#endJson(this.#pieces.join(""));
    if (this.#form === "unknown") return;
    // The last event may lack its blank line.
    this.#parser.feed("\n\n");
    if (this.#reply.finished) return;
    // The first line of the tail may be the rest of an event's.
    const error = errorIn(this.#hadEvent ? this.#tail : `\n${this.#tail}`);
    if (error !== undefined) throw reportedError(error, { detail: this.#tail });
    if (!this.#hadEvent && hasOtherLine(this.#tail)) throw notAStream(this.#tail);
  }

  #addFirst(text: string): void {
    switch (text[0]) {
      case undefined:
        return;
      case "{":
      case "[":
        this.#form = "json";
        return this.#addJson(text);
      case "<":
        throw webPage(text);
      default:
        this.#form = "events";
        return this.#addEvents(text);
    }
  }

  #addEvents(text: string): void {
    this.#isEvent = false;
    this.#parser.feed(text);
    if (this.#isEvent) {
      this.#hadEvent = true;
      this.#tail = text;
    } else if (this.#tail.length < MAX_TAIL_CHARS) {
      this.#tail += text;
    }
  }

  #addJson(text: string): void {
    this.#pieces.push(text);
    this.#chars += text.length;
    if (this.#chars > MAX_EVENT_CHARS) throw tooLong();
  }

  #endJson(body: string): void {
    this.#reply.add(body);
    if (!this.#reply.finished && !this.#reply.begun) throw notAStream(body);
    this.#reply.end();
  }
}

/**
 * An error beside the events: JSON without `data:`, as gateways write it into an open stream, or the line `error: …` of older
 * llama.cpp.
 */
function errorIn(tail: string): unknown {
  const line = /\nerror:[ \t]*(\S.*)/.exec(tail)?.[1];
  if (line !== undefined) return parsed(line) ?? line;
  const report = parsed(/\n\s*([{[][^]*)$/.exec(tail)?.[1] ?? "");
  const first: unknown = Array.isArray(report) ? report[0] : report;
  if (!isRecord(first) || Array.isArray(first.choices)) return undefined;
  return isError(first.error) || isErrorBody(first) ? report : undefined;
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

/** Whether there is a line that is no field of an event, no comment, and no field's beginning. */
function hasOtherLine(text: string): boolean {
  return text.split(/\r\n|\r|\n/).some((line) =>
    line.length > 6 && !/^(:|(data|event|id|retry)(:|$))/.test(line)
  );
}

function tooLong(): AttemptFailure {
  return brokenStream(`the stream has an event of more than ${MAX_EVENT_CHARS} characters`);
}
