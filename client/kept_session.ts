/** The client's session: where it is, up to which event it is known, and what of it the storage keeps. */

import { type Cursor, loadCursor, saveCursor, type SentQuery } from "./cursor.ts";
import type { NotificationFrame } from "./frames.ts";
import type { SessionInfo } from "./options.ts";
import type { CursorStorage } from "./ports.ts";

export class KeptSession {
  readonly #storage: CursorStorage | undefined;
  readonly #key: string;
  /** The cursor for resume: the newest event up to which no event is missing. */
  #lastSeq: number;
  /** What the client needs to find its session again. */
  #resume: Pick<Cursor, "sessionId" | "resumeToken" | "owner"> | undefined;
  #welcome: NotificationFrame | undefined;
  /** What the storage had when the client was created. */
  readonly stored: Required<Pick<Cursor, "pending" | "cancelled">>;

  constructor(storage: CursorStorage | undefined, key: string) {
    this.#storage = storage;
    this.#key = key;
    const { lastSeq = 0, pending = [], cancelled = [], ...resume } = loadCursor(storage, key) ?? {};
    this.#lastSeq = lastSeq;
    this.stored = { pending, cancelled };
    if ("sessionId" in resume) this.#resume = resume;
  }

  /** The session as callers see it; undefined before the first welcome. */
  get info(): SessionInfo | undefined {
    const { session_id: id, connection_id: connectionId, durable, limits } = this.#welcome ?? {};
    if (id === undefined) return undefined;
    return {
      id,
      connectionId: connectionId ?? "",
      durable: durable ?? false,
      lastSeq: this.#lastSeq,
      isCaughtUp: this.isCaughtUp,
      limits: limits ?? {},
    };
  }

  /** Whether the replay of the current connection is complete. */
  get isCaughtUp(): boolean {
    return this.#lastSeq >= (this.#welcome?.resumed?.to_seq ?? 0);
  }

  /** Whether the session belongs to another user. An anonymous session may be taken along when signing in. */
  isOfAnother(owner: string): boolean {
    return Boolean(this.#resume?.owner) && this.#resume?.owner !== owner;
  }

  /** The query parameters and the subprotocols that resume the session. With `all`, the first connection replays it. */
  toResume(replay: "missed" | "all"): { parameters: Record<string, string>; protocols: string[] } {
    if (this.#resume === undefined) return { parameters: {}, protocols: [] };
    const { sessionId, resumeToken } = this.#resume;
    const lastSeq = this.#welcome === undefined && replay === "all" ? 0 : this.#lastSeq;
    return {
      parameters: { session_id: sessionId, last_seq: String(lastSeq) },
      protocols: resumeToken ? [`resume-${resumeToken}`] : [],
    };
  }

  /** A connection of this user is ready. Returns the name of the event to emit. */
  welcomed(frame: NotificationFrame, owner: string): "open" | "reconnected" {
    const { session_id: sessionId = "", resume_token: token, resumed } = frame;
    const isFresh = resumed === undefined || resumed.reason === "unknown_session";
    const resumeToken = token ?? (isFresh ? undefined : this.#resume?.resumeToken);
    this.#lastSeq = isFresh ? 0 : resumed.from_seq - 1;
    this.#resume = { sessionId, owner, ...(resumeToken !== undefined && { resumeToken }) };
    const name = this.#welcome === undefined ? "open" : "reconnected";
    this.#welcome = frame;
    return name;
  }

  /**
   * An event with this number was received. Returns whether it is the next one. Other numbers belong to events that were
   * already seen, or to the answer to a query that was sent twice: that answer can arrive before the replay.
   */
  received(seq: number): boolean {
    if (seq !== this.#lastSeq + 1) return false;
    this.#lastSeq = seq;
    return true;
  }

  /** The next connection begins a new session. */
  forget(): void {
    this.#resume = undefined;
    this.#lastSeq = 0;
  }

  save(pending: SentQuery[], cancelled: string[]): void {
    if (this.#storage === undefined) return;
    const cursor = this.#resume && {
      ...this.#resume,
      lastSeq: this.#lastSeq,
      pending,
      ...(cancelled.length > 0 && { cancelled }),
    };
    saveCursor(this.#storage, this.#key, cursor);
  }
}
