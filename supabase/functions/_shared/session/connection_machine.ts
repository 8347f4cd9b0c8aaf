/**
 * The life of a connection: `opening → ready → draining → closed`.
 *
 * `opening`: the socket is up or coming up, and its identity is not known yet. `ready`: it holds a session. `draining`:
 * we have said our last word and read on without listening. `closed`: the socket is gone.
 */

export type ConnectionState = "opening" | "ready" | "draining" | "closed";
/** `enter`: identity and session are there. `leave`: we end it. `lose`: the socket closed, on whosever wish. */
export type ConnectionSignal = "enter" | "leave" | "lose";
/** What a change of state asks of the connection. */
export type ConnectionEffect = "detach" | "close_socket" | "release";

export interface ConnectionStep {
  state: ConnectionState;
  effects: readonly ConnectionEffect[];
}

/** What follows on what. Deno may report a close twice: the second one finds `closed` and changes nothing. */
export const CONNECTION_TRANSITIONS: Readonly<
  Record<ConnectionState, Readonly<Record<ConnectionSignal, ConnectionStep>>>
> = {
  opening: {
    enter: { state: "ready", effects: [] },
    leave: { state: "draining", effects: ["close_socket"] },
    lose: { state: "closed", effects: ["release"] },
  },
  ready: {
    enter: { state: "ready", effects: [] },
    leave: { state: "draining", effects: ["detach", "close_socket"] },
    lose: { state: "closed", effects: ["detach", "release"] },
  },
  draining: {
    enter: { state: "draining", effects: [] },
    leave: { state: "draining", effects: [] },
    lose: { state: "closed", effects: ["release"] },
  },
  closed: {
    enter: { state: "closed", effects: [] },
    leave: { state: "closed", effects: [] },
    lose: { state: "closed", effects: [] },
  },
};

export function stepConnection(state: ConnectionState, signal: ConnectionSignal): ConnectionStep {
  return CONNECTION_TRANSITIONS[state][signal];
}
