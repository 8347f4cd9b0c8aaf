/**
 * The life of a turn: `queued → running → completed | cancelled | failed | interrupted`.
 *
 * A turn whose owner died is still `running` for everyone else, until another worker claims it.
 */

export type TurnState = "queued" | "running" | "completed" | "cancelled" | "failed" | "interrupted";
export type TurnSignal = "start" | "complete" | "cancel" | "fail" | "interrupt";

/** What follows on what. Where the state stays as it is, the signal came too late or too early and changes nothing. */
export const TURN_TRANSITIONS: Readonly<Record<TurnState, Readonly<Record<TurnSignal, TurnState>>>> = {
  queued: {
    start: "running",
    complete: "queued",
    cancel: "cancelled",
    fail: "failed",
    interrupt: "interrupted",
  },
  running: {
    start: "running",
    complete: "completed",
    cancel: "cancelled",
    fail: "failed",
    interrupt: "interrupted",
  },
  completed: ends("completed"),
  cancelled: ends("cancelled"),
  failed: ends("failed"),
  interrupted: ends("interrupted"),
};

export function stepTurn(state: TurnState, signal: TurnSignal): TurnState {
  return TURN_TRANSITIONS[state][signal];
}

/** Whether the turn has had its terminal event. */
export function hasEnded(state: TurnState): state is Exclude<TurnState, "queued" | "running"> {
  return state !== "queued" && state !== "running";
}

function ends(state: TurnState): Readonly<Record<TurnSignal, TurnState>> {
  return { start: state, complete: state, cancel: state, fail: state, interrupt: state };
}
