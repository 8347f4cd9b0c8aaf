import assert from "node:assert/strict";
import {
  hasEnded,
  stepTurn,
  TURN_TRANSITIONS,
  type TurnSignal,
  type TurnState,
} from "../../../supabase/functions/_shared/agent/turn_machine.ts";
import {
  CONNECTION_TRANSITIONS,
  type ConnectionSignal,
  type ConnectionState,
  stepConnection,
} from "../../../supabase/functions/_shared/session/connection_machine.ts";

/** Written out once more by hand, so that a slip in the table is seen. */
const TURNS: Record<TurnState, Record<TurnSignal, TurnState>> = {
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
  completed: {
    start: "completed",
    complete: "completed",
    cancel: "completed",
    fail: "completed",
    interrupt: "completed",
  },
  cancelled: {
    start: "cancelled",
    complete: "cancelled",
    cancel: "cancelled",
    fail: "cancelled",
    interrupt: "cancelled",
  },
  failed: { start: "failed", complete: "failed", cancel: "failed", fail: "failed", interrupt: "failed" },
  interrupted: {
    start: "interrupted",
    complete: "interrupted",
    cancel: "interrupted",
    fail: "interrupted",
    interrupt: "interrupted",
  },
};

const CONNECTIONS: Record<ConnectionState, Record<ConnectionSignal, [ConnectionState, ...string[]]>> = {
  opening: { enter: ["ready"], leave: ["draining", "close_socket"], lose: ["closed", "release"] },
  ready: {
    enter: ["ready"],
    leave: ["draining", "detach", "close_socket"],
    lose: ["closed", "detach", "release"],
  },
  draining: { enter: ["draining"], leave: ["draining"], lose: ["closed", "release"] },
  closed: { enter: ["closed"], leave: ["closed"], lose: ["closed"] },
};

Deno.test("stepTurn: every signal in every state", () => {
  assert.deepEqual(TURN_TRANSITIONS, TURNS);
  for (const [state, row] of Object.entries(TURNS) as [TurnState, Record<TurnSignal, TurnState>][]) {
    for (const [signal, next] of Object.entries(row) as [TurnSignal, TurnState][]) {
      assert.equal(stepTurn(state, signal), next);
      if (hasEnded(state)) assert.equal(next, state, "an ended turn stays as it is");
    }
  }
});

Deno.test("stepConnection: every signal in every state", () => {
  for (
    const [state, row] of Object.entries(CONNECTIONS) as [ConnectionState, (typeof CONNECTIONS)["ready"]][]
  ) {
    assert.deepEqual(Object.keys(CONNECTION_TRANSITIONS[state]).sort(), ["enter", "leave", "lose"]);
    for (
      const [signal, [next, ...effects]] of Object.entries(row) as [
        ConnectionSignal,
        [ConnectionState, ...string[]],
      ][]
    ) {
      assert.deepEqual(stepConnection(state, signal), { state: next, effects });
    }
  }
});

Deno.test("stepConnection: however a connection goes, it detaches once and releases once", () => {
  const signals: ConnectionSignal[] = ["enter", "leave", "lose", "lose", "leave", "enter"];
  for (let order = 0; order < signals.length; order++) {
    const seen: string[] = [];
    let state: ConnectionState = "opening";
    for (const signal of [...signals.slice(order), ...signals.slice(0, order), "lose" as const]) {
      const step = stepConnection(state, signal);
      state = step.state;
      seen.push(...step.effects);
    }
    assert.equal(state, "closed");
    assert.equal(seen.filter((effect) => effect === "release").length, 1);
    assert.ok(seen.filter((effect) => effect === "detach").length <= 1);
    assert.ok(seen.filter((effect) => effect === "close_socket").length <= 1);
  }
});
