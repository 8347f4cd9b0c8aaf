import assert from "node:assert/strict";
import {
  CONNECTION_TRANSITIONS,
  type ConnectionSignal,
  type ConnectionState,
  stepConnection,
} from "../../../supabase/functions/_shared/session/connection_machine.ts";

/** Written again by hand, so that a mistake in the table is detected. */
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
