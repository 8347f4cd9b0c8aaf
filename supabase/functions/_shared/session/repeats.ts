/** Queries that were sent before: one id is one query, and answered as it stands. */

import { AgentError, toAgentError } from "../errors.ts";
import type { Clock, EventLog, WorkerLifetime } from "../ports.ts";
import type { QueryFrame, QueryOptions } from "../protocol/client_frames.ts";
import { isTerminal, type LogEvent, type QueryEvent } from "../protocol/log_event.ts";
import { renderError, renderEvent } from "../protocol/render.ts";
import type { ServerFrame } from "../protocol/server_frames.ts";
import type { Connection } from "./connection.ts";
import type { KnownQuery } from "./query_index.ts";
import type { Turns } from "./turns.ts";

/** Events looked through at a time for the end of a query that was asked long ago. */
const SEARCH_PAGE = 200;

/**
 * For so long after a resume a query may be one that another worker is still writing, or that was not read here yet: a write is
 * tried for 15 seconds, and the log is looked at every 15.
 */
export const RESEND_WINDOW_MS = 30_000;

export interface RepeatsOptions {
  sessionId: string;
  turns: Turns;
  eventLog: EventLog;
  clock: Clock;
  lifetime: WorkerLifetime;
}

export class Repeats {
  readonly #options: RepeatsOptions;

  constructor(options: RepeatsOptions) {
    this.#options = options;
  }

  /** The answer to a query that was sent again has its `seq`, or that of its end: the replay comes first. */
  takeWhenLive(connection: Connection, frame: QueryFrame, { queryId }: { queryId: string }): void {
    const { cursor } = connection;
    const { feed, queries } = this.#options.turns;
    feed.whenLive(connection, queryId, () => {
      // The replay has just brought the end.
      if ((queries.get(queryId)?.terminalSeq ?? 0) <= cursor) connection.handOn(frame);
    });
  }

  /**
   * Answers a query that is known here: as it stands, or with its terminal frame again. Where the log has forgotten that,
   * the query is new, and `anew` takes it. Throws `id_conflict` where the query of this id was another one.
   */
  answer(
    connection: Connection,
    frame: QueryFrame,
    { known, anew }: { known: KnownQuery; anew(): void },
  ): void {
    checkSame(frame, known);
    const { clock, lifetime, turns } = this.#options;
    if (known.terminalSeq === undefined) {
      return connection.send(turns.acknowledge(known.queryId, clock.now()));
    }
    const replaying = this.#replay(connection, known.terminalSeq).then((isKept) => {
      if (isKept) return;
      turns.queries.forget(known.queryId);
      anew();
    });
    lifetime.hold(replaying.catch((thrown) => this.#refuse(connection, known, thrown)));
  }

  /** The same for a query that only the log remembers. Never rejects. */
  async answerFromLog(
    connection: Connection,
    frame: QueryFrame,
    asked: QueryEvent & { seq: number },
  ): Promise<void> {
    const { clock, eventLog, sessionId, turns } = this.#options;
    try {
      checkSame(frame, asked);
      for (let afterSeq = asked.seq; afterSeq < turns.feed.lastSeq;) {
        const { events } = await eventLog.read(sessionId, { afterSeq, limit: SEARCH_PAGE });
        const end = events.find((event) => isTerminal(event) && event.turnId === asked.turnId);
        if (end !== undefined) {
          // It may be news.
          await turns.feed.catchUp(end.seq);
          return connection.send(again(end));
        }
        afterSeq = events.at(-1)?.seq ?? Infinity;
      }
      connection.send(turns.acknowledge(asked.queryId, clock.now()));
    } catch (thrown) {
      const isShown = turns.queries.get(asked.queryId)?.terminalSeq !== undefined;
      // Nobody knew of it here when it came, so its end has been shown since.
      if (isShown && toAgentError(thrown).code === "store_unavailable") return;
      this.#refuse(connection, asked, thrown);
    }
  }

  /** Sends a terminal frame again. Answers whether the log still has it. */
  async #replay(connection: Connection, seq: number): Promise<boolean> {
    const { eventLog, sessionId } = this.#options;
    const { events: [event] } = await eventLog.read(sessionId, { afterSeq: seq - 1, limit: 1 });
    if (event?.seq !== seq) return false;
    connection.send(again(event));
    return true;
  }

  #refuse(connection: Connection, { queryId }: { queryId: string }, thrown: unknown): void {
    connection.send(renderError(toAgentError(thrown), this.#options.clock.now(), queryId));
  }
}

/** Whether a client that has just resumed may have asked this at another worker, and been cut off before the answer. */
export function mayBeRepeat({ request, enteredAt }: Connection, { id }: QueryFrame, now: number): boolean {
  return id !== undefined && request.resume !== undefined && now - enteredAt < RESEND_WINDOW_MS;
}

/** Throws `id_conflict` where the query of this id was another one. */
function checkSame(
  { content, options = {} }: QueryFrame,
  known: { content: string; options: QueryOptions },
): void {
  const names = ["model", "temperature", "max_tokens"] as const;
  if (content === known.content && names.every((name) => options[name] === known.options[name])) return;
  throw new AgentError("id_conflict", 'Cannot take query: its "id" was used for another one');
}

function again(event: LogEvent): ServerFrame {
  return { ...renderEvent(event), replay: true } as ServerFrame;
}
