/** The client for agents with tools: their calls, approvals, and tools that the page itself runs. */

import { AgentClient } from "./client.ts";
import { Emitter, type Unsubscribe } from "./emitter.ts";
import { AgentClientError, type UnsentQuery } from "./error.ts";
import type { ServerFrame } from "./frames.ts";
import { isOpen, openTurnOf } from "./open_turn.ts";
import type { AgentClientOptions, ClientEvents } from "./options.ts";
import { utf8Bytes } from "./query_sender.ts";
import { type ClientTools, ToolRunner } from "./tool_runner.ts";
import { callsOf, type ToolCall, ToolCalls, type ToolStep, type TurnEnd } from "./tool_calls.ts";
import { changeOf } from "./tool_changes.ts";
import { ToolMessages } from "./tool_messages.ts";
import { ToolStorage } from "./tool_storage.ts";
import type { Turn } from "./turn.ts";
import type { AgentUIMessage } from "./ui_messages.ts";

/** The options of a client for agents with tools. */
export interface ToolClientOptions extends AgentClientOptions {
  /**
   * The tools that this page runs, by name: those of the agent that have no `execute`. Every page of the session that has the tool
   * runs it; the first result counts, and aborts the `signal` of the others. What the function throws is told to the model. A
   * call whose tool is not here waits for {@linkcode ToolClient.answer}.
   */
  tools?: ClientTools;
}

/** Events by name. */
export interface ToolClientEvents extends ClientEvents {
  /** A tool call is new or has changed. */
  call: ToolCall;
}

/** A tool call that waits for a decision. */
export interface Approval {
  approvalId: string;
  callId: string;
  turnId: string;
  /** The tool. */
  name: string;
  /** What the tool is to be called with: a JSON value. */
  input: unknown;
  /** Until when it waits (ISO 8601). Then it counts as rejected. */
  expiresAt: string;
}

/** The result of a tool that the page has run: a JSON value, or what went wrong. */
export type ToolAnswer = { output: unknown } | { error: string };

/** Errors after which the server no longer waits for the call. */
const GONE: readonly string[] = ["unknown_approval", "unknown_call"];

/** An {@linkcode AgentClient} that also knows the tools of its agent. */
export class ToolClient extends AgentClient {
  readonly #events = new Emitter<Pick<ToolClientEvents, "call">>();
  readonly #messages = new ToolMessages();
  readonly #storage: ToolStorage;
  readonly #calls: ToolCalls;
  readonly #runner: ToolRunner;
  /** The session of the calls. */
  #sessionId: string | undefined;
  /** Whether the storage lacks something. */
  #isUnsaved = false;

  constructor(url: string | URL, options: ToolClientOptions = {}) {
    super(url, { ...options, parameters: { ...options.parameters, tools: "true" } });
    this.#storage = new ToolStorage(options);
    const { sessionId, turns } = this.#storage.load();
    this.#sessionId = sessionId;
    this.#calls = new ToolCalls(turns);
    this.#runner = new ToolRunner(options.tools ?? {}, (callId, answer) => this.answer(callId, answer));
    const opened = (): void => this.#opened();
    super.on("open", opened);
    super.on("reconnected", opened);
    super.on("message", (frame) => this.#take(frame));
    // After a gap, the end of a query that was sent again is in no event of the session.
    super.on("turn", (turn) => this.#ended(turn));
    super.on("close", ({ code }) => {
      if (this.status === "closed") this.#runner.stop();
      if (code === 4003 || code === 4009) this.#clear();
    });
  }

  /** The tool calls of the turns that have not ended, oldest first. */
  get calls(): readonly ToolCall[] {
    return this.#calls.open;
  }

  /** The tool calls of a turn, oldest first, also after its end. */
  callsOf(turnId: string): readonly ToolCall[] {
    const turn = this.#calls.turns.get(turnId);
    return turn === undefined ? [] : callsOf(turn);
  }

  /** The steps of a turn that have called tools, oldest first. */
  stepsOf(turnId: string): readonly ToolStep[] {
    return this.#calls.turns.get(turnId)?.steps ?? [];
  }

  /** Whether a tool of this page runs for the call. */
  isRunning(callId: string): boolean {
    return this.#runner.isRunning(callId);
  }

  /** The tool calls that wait for a decision, oldest first, whichever connection of the session asked the question. */
  get approvals(): readonly Approval[] {
    return this.#calls.open.filter(({ state }) => state === "approval").map(
      ({ callId, turnId, name, input, expiresAt = "" }) => ({
        approvalId: callId,
        callId,
        turnId,
        name,
        input,
        expiresAt,
      }),
    );
  }

  /** The conversation as messages of the AI SDK, with tool calls as parts `dynamic-tool`. The same array until something changes. */
  override get messages(): AgentUIMessage[] {
    return this.#messages.of(super.messages, this.#calls.turns, openTurnOf(this)?.turnId);
  }

  override on<Name extends keyof ToolClientEvents>(
    name: Name,
    listener: (payload: ToolClientEvents[Name]) => void,
  ): Unsubscribe {
    return name === "call"
      ? this.#events.on("call", listener as (call: ToolCall) => void)
      : super.on(name as keyof ClientEvents, listener as (payload: ClientEvents[keyof ClientEvents]) => void);
  }

  /**
   * Allows a call to run. Resolves when this decision is the one that counts. Rejects with `already_decided`, `unknown_approval` (the
   * call does not wait, or its turn has ended), `closed` or `message_too_large`. Without a connection, and after a lost one, the
   * decision is sent with the next.
   */
  approve(approvalId: string, { comment }: { comment?: string } = {}): Promise<void> {
    return this.#decide(approvalId, { verdict: "approve", ...(comment && { content: comment }) });
  }

  /** Forbids a call. The model is told the comment. As {@linkcode ToolClient.approve} otherwise. */
  reject(approvalId: string, comment?: string): Promise<void> {
    return this.#decide(approvalId, { verdict: "reject", ...(comment && { content: comment }) });
  }

  /**
   * Allows a call with another input. Rejects with `invalid_args` if the tool does not take that: then the call still waits. As
   * {@linkcode ToolClient.approve} otherwise.
   */
  modify(approvalId: string, input: unknown): Promise<void> {
    return this.#decide(approvalId, { verdict: "modify", input });
  }

  /**
   * Answers a call in state `client`. Resolves when this result is the one that counts. Rejects with `already_decided` (another
   * page was faster, or this result arrived before the connection was lost), `unknown_call`, `closed` or `message_too_large`.
   */
  async answer(callId: string, answer: ToolAnswer): Promise<void> {
    const result = "error" in answer
      ? { error: answer.error || "failed" }
      : { output: answer.output ?? null };
    await this.#send(callId, { type: "tool_result", call_id: callId, ...result });
  }

  override close(options: { forget?: boolean } = {}): UnsentQuery[] {
    const unsent = super.close(options);
    this.#runner.stop();
    if (options.forget === true) this.#clear();
    return unsent;
  }

  #decide(approvalId: string, decision: object): Promise<void> {
    return this.#send(approvalId, { type: "human_feedback", approval_id: approvalId, ...decision });
  }

  async #send(callId: string, frame: object): Promise<void> {
    const { max_message_bytes: maxBytes = 0 } = this.session?.limits ?? {};
    // The server does not parse a frame that is too large, so its refusal could not name it. Its id comes on top.
    if (maxBytes > 0 && utf8Bytes(JSON.stringify(frame)) + 100 > maxBytes) {
      throw new AgentClientError("message_too_large", `Cannot send: more than ${maxBytes} bytes`);
    }
    try {
      await this.request(frame, true);
    } catch (error) {
      if (error instanceof AgentClientError && GONE.includes(error.code)) {
        this.#changed(this.#calls.drop(callId));
      }
      throw error;
    }
  }

  #opened(): void {
    const { session } = this;
    if (session?.id !== this.#sessionId) this.#clear();
    this.#sessionId = session?.id;
    this.#run();
  }

  #take(frame: ServerFrame): void {
    const change = changeOf(frame);
    if (change === undefined) return this.#run();
    const calls = this.#calls.take(change);
    if (calls.length > 0 || change.kind === "end") this.#changed(calls);
    this.#run();
  }

  /** The client's own turn has ended, unless the client has only left it. */
  #ended(turn: Turn): void {
    const { isMine, turnId, state, error } = turn;
    if (!isMine || turnId === undefined || isOpen(turn) || error?.code === "closed") return;
    if (!this.#calls.isOpen(turnId)) return;
    const reason = error?.code ?? "cancelled";
    const end: TurnEnd = state === "completed"
      ? {}
      : { outcome: state === "failed" ? state : "cancelled", reason };
    this.#changed(this.#calls.take({ kind: "end", turnId, end }));
  }

  #changed(calls: readonly ToolCall[]): void {
    this.#isUnsaved = true;
    for (const call of calls) this.#events.emit("call", call);
    this.#runner.abortAnswered(this.#calls.open);
  }

  /** Not during a replay: a call may have its result later there, and the cursor is not stored before its end either. */
  #run(): void {
    if (this.session?.isCaughtUp !== true) return;
    if (this.#isUnsaved) this.#storage.save(this.#sessionId, this.#calls.turns);
    this.#isUnsaved = false;
    this.#runner.run(this.#calls.open);
  }

  #clear(): void {
    this.#calls.clear();
    this.#changed([]);
    this.#storage.save(undefined, this.#calls.turns);
  }
}
