/**
 * Accounts for tool calls: metrics, log, live activity. Each event is accounted for by the worker that has written it, once the log
 * has it, so nothing is counted twice. Never a call's input or output.
 */

import type { CallStage } from "../activity/reporter.ts";
import type { Committed, LogWrite } from "../ports/event_log.ts";
import type { SessionRecord } from "../ports/session_store.ts";
import {
  isSameToolEvent,
  isToolEvent,
  type ToolCallEvent,
  type ToolEvent,
  type ToolResultEvent,
} from "../protocol/tool_events.ts";
import type { AccountDeps } from "./accounts.ts";
import { emptyMap, type LazyMap, withEntry, withoutEntry } from "./core/lazy_map.ts";
import type { SessionState } from "./core/state.ts";

export interface CallAccountsOptions {
  record: SessionRecord;
  deps: AccountDeps;
  /** Read, never changed. */
  state: SessionState;
}

export class CallAccounts {
  readonly #options: CallAccountsOptions;
  /** When the calls that run here were started, in milliseconds since the epoch. */
  #startedAt: LazyMap<string, number> = emptyMap();

  constructor(options: CallAccountsOptions) {
    this.#options = options;
  }

  /** A write of this worker is in the log. `lastSeq`: how far the worker knew the log when it sent the write. */
  written({ events = [] }: LogWrite, { events: logged }: Committed, lastSeq: number): void {
    for (const event of events) {
      if (!isToolEvent(event)) continue;
      const stored = logged.find((other) => isSameToolEvent(event, other));
      // What the log had before was accounted for then.
      if (stored === undefined || stored.seq <= lastSeq) continue;
      this.#account(event, stored.at, events);
    }
  }

  /** A turn has ended. */
  forget(turnId: string): void {
    for (const callId of this.#startedAt.keys()) {
      if (callId.startsWith(`${turnId}:`)) this.#startedAt = withoutEntry(this.#startedAt, callId);
    }
  }

  #account(event: ToolEvent, at: number, written: NonNullable<LogWrite["events"]>): void {
    const { metrics } = this.#options.deps;
    switch (event.kind) {
      case "tool_call":
        return this.#wait(event);
      case "approval_requested":
        return;
      case "approval_decided":
        metrics.count("approvals_total", event.verdict);
        return this.#show(event, "decided", event.verdict);
      case "tool_started":
        this.#startedAt = withEntry(this.#startedAt, event.callId, at);
        return this.#show(event, "calling", event.name);
      case "tool_result": {
        // Such a call goes to the log with its result.
        const isRefused = written.some((other) =>
          other.kind === "tool_call" && other.callId === event.callId
        );
        return this.#ended(event, { at, isRefused });
      }
    }
  }

  #wait(event: ToolCallEvent): void {
    const { deps: { metrics }, state } = this.#options;
    const hasUser = state.connections.size > 0;
    const what = event.needs !== "nothing" ? event.needs : event.asUser && !hasUser ? "user" : undefined;
    if (what === undefined) return;
    metrics.count("tool_waits_total", what);
    this.#show(event, "waiting", what);
  }

  #ended(event: ToolResultEvent, { at, isRefused }: { at: number; isRefused: boolean }): void {
    const { deps: { metrics, log }, record } = this.#options;
    const { callId, turnId, name } = event;
    const startedAt = this.#startedAt.get(callId);
    this.#startedAt = withoutEntry(this.#startedAt, callId);
    const outcome = isRefused ? "refused" : event.outcome;
    metrics.count("tool_calls_total", outcome);
    log.write({
      level: "info",
      event: "tool_call_ended",
      session_id: record.sessionId,
      turn_id: turnId,
      call_id: callId,
      // Names that the model makes up are text of a user's conversation.
      ...(!isRefused && { tool: name }),
      outcome,
      ...(startedAt !== undefined && { ms: at - startedAt }),
    });
    if (!isRefused) this.#show(event, "called", name);
  }

  #show({ queryId, turnId }: ToolEvent, stage: CallStage, mode: string): void {
    const { deps: { activity }, record, state } = this.#options;
    const query = state.turns.get(queryId)?.query ?? { turnId };
    activity.reasoning(record, { query, text: "" }, stage, mode);
  }
}
