/** The tool calls of a session's turns, folded from its events. */

/**
 * What a call is up to. `pending`: it runs next, or when the user has a connection. `approval`: a person must decide. `client`: a client
 * must run it. The others are final: `done`, `failed`, `unknown` (its worker died while it ran), `rejected`, `expired` (nobody decided in
 * time), `ended` (its turn ended before it ran).
 */
export type ToolCallState =
  | "pending"
  | "approval"
  | "client"
  | "approved"
  | "running"
  | "done"
  | "failed"
  | "unknown"
  | "rejected"
  | "expired"
  | "ended";

/** A tool call as it is now. A call that changes is a new object. */
export interface ToolCall {
  /** Also the id of its approval. */
  readonly callId: string;
  readonly turnId: string;
  readonly queryId: string;
  /** 1, 2, 3 … within the turn: one call of the model, with the tools that it calls. */
  readonly step: number;
  readonly name: string;
  /** A JSON value: what the model wants, or what a person has made of it. */
  readonly input: unknown;
  readonly state: ToolCallState;
  /** Until when it waits for a person, a client or the user (ISO 8601). */
  readonly expiresAt?: string;
  /** What the model is told, once it has run. Data from elsewhere: show it as text, never as HTML. */
  readonly output?: string;
  /** If a person has decided, or nobody has in time. */
  readonly decision?: ToolDecision;
}

/** The decision about a call that counts. */
export interface ToolDecision {
  readonly verdict: "approve" | "reject" | "modify" | "expired";
  readonly comment?: string;
  /** The user who has decided, if known. */
  readonly by?: string;
}

/** The text of one call of the model, and the tools that it calls at its end. */
export interface ToolStep {
  readonly text: string;
  readonly calls: readonly ToolCall[];
}

/** The steps of one turn. A turn that changes is a new object. */
export interface ToolTurn {
  readonly turnId: string;
  readonly queryId: string;
  readonly steps: readonly ToolStep[];
  /** Set once the turn has ended. */
  readonly end?: TurnEnd;
}

/** Why a turn ended without an answer; empty if it has one. */
export interface TurnEnd {
  readonly outcome?: "cancelled" | "failed";
  readonly reason?: string;
}

interface OfCall {
  turnId: string;
  queryId: string;
  callId: string;
}

/** An event of a turn, as far as it matters to tool calls. */
export type ToolChange =
  | OfCall & {
    kind: "tool_call";
    step: number;
    name: string;
    input: unknown;
    needs: string;
    expiresAt?: string;
    text?: string;
  }
  | OfCall & { kind: "approval_requested"; expiresAt: string }
  | OfCall & { kind: "approval_decided"; decision: ToolDecision; input?: unknown }
  | OfCall & { kind: "tool_started" }
  | OfCall & { kind: "tool_result"; outcome: "ok" | "error" | "unknown"; output: string }
  | { kind: "end"; turnId: string; end: TurnEnd };

/** Turns kept. Above this number, the oldest ended ones are removed. */
const MAX_TURNS = 500;

const FINAL: readonly ToolCallState[] = ["done", "failed", "unknown", "rejected", "expired", "ended"];
const RESULTS = { ok: "done", error: "failed", unknown: "unknown" } as const;
const VERDICTS = { approve: "approved", modify: "approved", reject: "rejected", expired: "expired" } as const;

/** Whether nothing more happens to the call. */
export function isFinal({ state }: ToolCall): boolean {
  return FINAL.includes(state);
}

/** Whether the call waits for a person or a client. */
export function isWaiting({ state }: ToolCall): boolean {
  return state === "approval" || state === "client";
}

export class ToolCalls {
  readonly #turns = new Map<string, ToolTurn>();

  /** `turns` are those of an earlier page. */
  constructor(turns: readonly ToolTurn[] = []) {
    for (const turn of turns) this.#turns.set(turn.turnId, turn);
  }

  /** By turn id, in the order in which they first called a tool. */
  get turns(): ReadonlyMap<string, ToolTurn> {
    return this.#turns;
  }

  /** The calls of the turns that have not ended, oldest first. */
  get open(): ToolCall[] {
    return [...this.#turns.values()].flatMap((turn) => turn.end === undefined ? callsOf(turn) : []);
  }

  /** Whether the turn is known to have called tools, and not to have ended. */
  isOpen(turnId: string): boolean {
    const turn = this.#turns.get(turnId);
    return turn !== undefined && turn.end === undefined;
  }

  get(callId: string): ToolCall | undefined {
    return this.open.find((call) => call.callId === callId);
  }

  /** Applies an event. An event that was applied before changes nothing. Returns the calls that have changed. */
  take(change: ToolChange): ToolCall[] {
    if (change.kind === "tool_call") return this.#add(change);
    const turn = this.#turns.get(change.turnId);
    if (turn === undefined || turn.end !== undefined) return [];
    if (change.kind === "end") return this.#end(turn, change.end);
    const call = callsOf(turn).find(({ callId }) => callId === change.callId);
    const next = call && changed(call, change);
    if (next === undefined) return [];
    this.#replace(turn, next);
    return [next];
  }

  /** The server does not know the call, or no longer waits for it. */
  drop(callId: string): ToolCall[] {
    const call = this.get(callId);
    const turn = this.#turns.get(call?.turnId ?? "");
    if (call === undefined || turn === undefined || isFinal(call)) return [];
    const next: ToolCall = { ...call, state: "ended" };
    this.#replace(turn, next);
    return [next];
  }

  clear(): void {
    this.#turns.clear();
  }

  #add(change: ToolChange & { kind: "tool_call" }): ToolCall[] {
    const { kind: _, text = "", needs, step, ...fields } = change;
    const { turnId, queryId, callId } = fields;
    const turn = this.#turns.get(turnId) ?? { turnId, queryId, steps: [] };
    if (turn.end !== undefined || callsOf(turn).some((known) => known.callId === callId)) return [];
    const call: ToolCall = { ...fields, step, state: needs === "client" ? "client" : "pending" };
    // A client that has missed the first steps of a turn has only the later ones.
    const last = turn.steps.at(-1);
    const steps = last?.calls[0]?.step === step
      ? [...turn.steps.slice(0, -1), { ...last, calls: [...last.calls, call] }]
      : [...turn.steps, { text, calls: [call] }];
    this.#turns.set(turnId, { ...turn, steps });
    for (const [id, { end }] of this.#turns) {
      if (this.#turns.size <= MAX_TURNS) break;
      if (end !== undefined) this.#turns.delete(id);
    }
    return [call];
  }

  #end(turn: ToolTurn, end: TurnEnd): ToolCall[] {
    const ended: ToolCall[] = callsOf(turn).filter((call) => !isFinal(call)).map((call) => ({
      ...call,
      state: "ended",
    }));
    for (const call of ended) turn = this.#replace(turn, call);
    this.#turns.set(turn.turnId, { ...turn, end });
    return ended;
  }

  #replace(turn: ToolTurn, call: ToolCall): ToolTurn {
    const steps = turn.steps.map((step) => ({
      ...step,
      calls: step.calls.map((known) => known.callId === call.callId ? call : known),
    }));
    const next = { ...turn, steps };
    this.#turns.set(turn.turnId, next);
    return next;
  }
}

export function callsOf({ steps }: ToolTurn): ToolCall[] {
  return steps.flatMap(({ calls }) => calls);
}

/** The call after the event; undefined if it changes nothing. */
function changed(
  call: ToolCall,
  change: Exclude<ToolChange, { kind: "tool_call" | "end" }>,
): ToolCall | undefined {
  if (isFinal(call)) return undefined;
  switch (change.kind) {
    case "approval_requested":
      return call.state === "pending"
        ? { ...call, state: "approval", expiresAt: change.expiresAt }
        : undefined;
    case "approval_decided": {
      const { decision, input = call.input } = change;
      return call.decision === undefined
        ? { ...call, state: VERDICTS[decision.verdict], decision, input }
        : undefined;
    }
    case "tool_started":
      return { ...call, state: "running" };
    case "tool_result":
      return { ...call, state: RESULTS[change.outcome], output: change.output };
  }
}
