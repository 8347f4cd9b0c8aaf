/**
 * What the connections of one session are shown: the log in the order of `seq`, and the running turn's text.
 *
 * A connection is live once it has been shown everything up to the newest event; until then its replay reads on, and
 * what is committed meanwhile reaches it through the log. So no live event overtakes the replay.
 */

import type { ActivityReporter } from "../activity/reporter.ts";
import type { EventLog, LogPage, SessionRecord } from "../ports.ts";
import { CLOSE } from "../protocol/close_codes.ts";
import type { LogEvent, NewLogEvent } from "../protocol/log_event.ts";
import { renderEvent } from "../protocol/render.ts";
import type { ServerFrame } from "../protocol/server_frames.ts";
import type { Connection } from "./connection.ts";

/** Events read at a time in a replay. */
const REPLAY_PAGE = 100;

/** What a commit is, to those who watch. */
const STORING = { operation: "store", sector: "log" } as const;
const FORGETTING = { operation: "delete", sector: "history" } as const;

export interface FeedOptions {
  record: SessionRecord;
  activity: ActivityReporter;
  eventLog: EventLog;
  /** Called with each committed event before anybody is shown it. */
  onCommitted(event: LogEvent): void;
  /** How the asker of a query learns its `seq`: by a status, where everyone else gets the query itself. */
  renderForAsker(event: LogEvent & { kind: "query" }): ServerFrame;
  /** Called when a connection has caught up. */
  onLive(connection: Connection): void;
}

export class Feed {
  readonly connections = new Set<Connection>();
  readonly #options: FeedOptions;
  #lastSeq = 0;

  constructor(options: FeedOptions) {
    this.#options = options;
  }

  /** The newest `seq` committed; 0 before the first. */
  get lastSeq(): number {
    return this.#lastSeq;
  }

  /** Appends to the log and shows the result to everyone who is live. Rejects as the log does. */
  async commit(events: readonly NewLogEvent[]): Promise<readonly LogEvent[]> {
    const { record, eventLog, onCommitted, activity } = this.#options;
    const append = (): Promise<readonly LogEvent[]> => eventLog.append(record.sessionId, events);
    const access = events[0]?.kind === "cleared" ? FORGETTING : STORING;
    const logged = await activity.timed(record, access, append);
    for (const event of logged) {
      this.#lastSeq = event.seq;
      onCommitted(event);
      this.#deliver(event);
    }
    return logged;
  }

  /** Sends a frame that is no part of the log to every connection that is live, but for one. */
  broadcast(frame: ServerFrame, exceptConnectionId?: string): void {
    let text: string | undefined;
    for (const connection of this.connections) {
      if (!connection.isLive || connection.id === exceptConnectionId) continue;
      connection.sendText(text ??= JSON.stringify(frame));
    }
  }

  /** Which part of the log is there, without reading it. */
  extent(): Promise<LogPage> {
    return this.#options.eventLog.read(this.#options.record.sessionId, { afterSeq: this.#lastSeq, limit: 0 });
  }

  /**
   * Shows a connection everything after its cursor, at the pace at which it reads, and makes it live. Events that fall
   * out of the log before a slow reader got to them would be a silent hole: it is closed instead, and told so on resume.
   */
  async replay(connection: Connection): Promise<void> {
    const { record: { sessionId }, eventLog, onLive } = this.#options;
    connection.isLive = false;
    while (connection.cursor < this.#lastSeq) {
      const { events } = await eventLog.read(sessionId, { afterSeq: connection.cursor, limit: REPLAY_PAGE });
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
  }

  #deliver(event: LogEvent): void {
    let text: string | undefined;
    for (const connection of this.connections) {
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
