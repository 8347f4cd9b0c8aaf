/**
 * What the connections of one session are shown: the log in the order of `seq`, and the running turn's text.
 *
 * The log is the truth, whoever wrote to it: what another worker has put between is read before what came after it is
 * shown. A connection is live once it has been shown everything up to the newest event; until then its replay reads
 * on, and what is committed meanwhile reaches it through the log. So no live event overtakes the replay.
 */

import type { ActivityReporter } from "../activity/reporter.ts";
import { toAgentError } from "../errors.ts";
import type { Committed, EventLog, LogWrite, SessionRecord } from "../ports.ts";
import { CLOSE } from "../protocol/close_codes.ts";
import type { LogEvent } from "../protocol/log_event.ts";
import { renderEvent } from "../protocol/render.ts";
import type { ServerFrame } from "../protocol/server_frames.ts";
import type { Connection } from "./connection.ts";
import type { Tenure } from "./tenure.ts";

/** Events read at a time. */
const PAGE = 500;

/** What a commit is, to those who watch. */
const STORING = { operation: "store", sector: "log" } as const;
const FORGETTING = { operation: "delete", sector: "history" } as const;

export interface FeedOptions {
  record: SessionRecord;
  /** The newest `seq` that is known already. */
  lastSeq: number;
  activity: ActivityReporter;
  eventLog: EventLog;
  tenure: Tenure;
  /** Called when it is not known whether the log has taken a write: it may still. Before the write rejects. */
  onInDoubt(): void;
  /** Called with the log's answer to a write before its events are shown to anybody. */
  onAnswer(committed: Committed): void;
  /** Called with each event of the log before anybody is shown it. */
  onEvent(event: LogEvent): void;
  /** Called when all that has been learnt is shown; with the write's answer where it was a write. */
  onSettled(committed?: Committed): void;
  /** Called when this worker has appended events. */
  onAppended(lastSeq: number): void;
  /** How the asker of a query learns its `seq`: by a status, where everyone else gets the query itself. */
  renderForAsker(event: LogEvent & { kind: "query" }): ServerFrame;
  /** Called when a connection has caught up. */
  onLive(connection: Connection): void;
}

export class Feed {
  readonly connections = new Set<Connection>();
  readonly #options: FeedOptions;
  #lastSeq: number;
  /** There is at least this much in the log. */
  #wantedSeq = 0;
  #catchingUp: Promise<void> | undefined;
  /** What waits until a connection has caught up, by a key of its own; made with the first. */
  #waiting: WeakMap<Connection, Map<string, () => void>> | undefined;

  constructor(options: FeedOptions) {
    this.#options = options;
    this.#lastSeq = options.lastSeq;
  }

  /** The newest `seq` that was shown; 0 before the first. */
  get lastSeq(): number {
    return this.#lastSeq;
  }

  /** Writes to the log and shows everyone who is live what is new in it. Rejects as the log does. */
  async commit(write: LogWrite): Promise<Committed> {
    try {
      return await this.#commit(write);
    } catch (thrown) {
      if (toAgentError(thrown).code === "store_unavailable") this.#options.onInDoubt();
      throw thrown;
    }
  }

  async #commit(write: LogWrite): Promise<Committed> {
    const { record, eventLog, activity, tenure, onAnswer, onSettled, onAppended } = this.#options;
    const { losses } = tenure;
    const append = (): Promise<Committed> => eventLog.commit(record.sessionId, write);
    const [first] = write.events ?? [];
    const committed = first === undefined
      ? await append()
      : await activity.timed(record, first.kind === "cleared" ? FORGETTING : STORING, append);
    tenure.answered(committed, losses);
    onAnswer(committed);
    for (const event of committed.events) this.#take(event);
    if (committed.lastSeq > this.#lastSeq) await this.catchUp(committed.lastSeq);
    if (first !== undefined) onAppended(committed.lastSeq);
    onSettled(committed);
    return committed;
  }

  /** Reads on until everything up to `seq` is shown. Rejects as the log does. */
  catchUp(seq: number): Promise<void> {
    this.#wantedSeq = Math.max(this.#wantedSeq, seq);
    if (this.#wantedSeq <= this.#lastSeq) return Promise.resolve();
    return this.#catchingUp ??= this.#readOn();
  }

  /** Sends a frame that is no part of the log to every connection that is live, but for one. */
  broadcast(frame: ServerFrame, exceptConnectionId?: string): void {
    let text: string | undefined;
    for (const connection of this.connections) {
      if (!connection.isLive || connection.id === exceptConnectionId) continue;
      connection.sendText(text ??= JSON.stringify(frame));
    }
  }

  /**
   * Runs a task once a connection has been shown everything: what carries a `seq` never runs ahead of the replay. Of tasks
   * with the same key only the last one is run, and none where the connection is gone before.
   */
  whenLive(connection: Connection, key: string, task: () => void): void {
    if (connection.isLive) return task();
    this.#waiting ??= new WeakMap();
    const waiting = this.#waiting.get(connection) ?? new Map();
    this.#waiting.set(connection, waiting.set(key, task));
  }

  /**
   * Shows a connection everything after its cursor, at the pace at which it reads, and makes it live. Events that fall
   * out of the log before a slow reader got to them would be a silent hole: it is closed instead, and told so on resume.
   */
  async replay(connection: Connection): Promise<void> {
    const { record: { sessionId }, eventLog, onLive } = this.#options;
    connection.isLive = false;
    while (connection.cursor < this.#lastSeq) {
      const { events, lastSeq } = await eventLog.read(sessionId, {
        afterSeq: connection.cursor,
        limit: PAGE,
      });
      // Nobody is shown what this worker does not know itself.
      if (lastSeq > this.#lastSeq) await this.catchUp(lastSeq);
      if (connection.isGone) return;
      if (events[0]?.seq !== connection.cursor + 1) return connection.close(CLOSE.slowConsumer);
      for (const event of events) {
        this.#show(connection, event, undefined);
        await connection.drained();
        if (connection.isGone) return;
      }
    }
    connection.isLive = true;
    onLive(connection);
    const waiting = this.#waiting?.get(connection);
    this.#waiting?.delete(connection);
    for (const task of waiting?.values() ?? []) task();
  }

  async #readOn(): Promise<void> {
    const { record: { sessionId }, eventLog, tenure, onSettled } = this.#options;
    try {
      let target: number;
      let newest: number;
      do {
        target = this.#wantedSeq;
        const page = await eventLog.read(sessionId, { afterSeq: this.#lastSeq, limit: PAGE });
        newest = page.lastSeq;
        tenure.glimpsed(page.lease);
        if (page.oldestSeq > this.#lastSeq + 1) this.#skipTo(page.oldestSeq);
        for (const event of page.events) this.#take(event);
        // A read that began before the last call may have missed what the call was about.
      } while (this.#lastSeq < newest || this.#wantedSeq > target);
      this.#wantedSeq = this.#lastSeq;
    } finally {
      // At once: a call that comes after the last look reads for itself.
      this.#catchingUp = undefined;
    }
    onSettled();
  }

  /** What was between is gone from the log: nobody here can be shown all, and a resume says so. */
  #skipTo(seq: number): void {
    this.#lastSeq = seq - 1;
    for (const connection of this.connections) connection.close(CLOSE.slowConsumer);
  }

  /** Takes the next event; one that was taken before, or that others come before, does nothing. */
  #take(event: LogEvent): void {
    if (event.seq !== this.#lastSeq + 1) return;
    this.#lastSeq = event.seq;
    try {
      this.#options.onEvent(event);
    } finally {
      // It counts as shown: whatever becomes of the rest, nobody would bring it again.
      this.#deliver(event);
    }
  }

  #deliver(event: LogEvent): void {
    let text: string | undefined;
    for (const connection of this.connections) {
      // A replay that is under way will show it.
      if (!connection.isLive || event.seq <= connection.cursor) continue;
      text = this.#show(connection, event, text);
    }
  }

  /** Sends an event, encoded once for all who are shown the same. */
  #show(connection: Connection, event: LogEvent, encoded: string | undefined): string | undefined {
    connection.cursor = event.seq;
    if (event.kind === "query" && event.connectionId === connection.id) {
      connection.send(this.#options.renderForAsker(event));
      return encoded;
    }
    const text = encoded ?? JSON.stringify(renderEvent(event));
    connection.sendText(text);
    return text;
  }
}
