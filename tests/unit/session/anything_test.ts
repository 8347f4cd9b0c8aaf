/** Whatever several clients, the model and the network do, in any order: the rules hold. */

import assert from "node:assert/strict";
import * as fc from "fast-check";
import { AgentError } from "../../../supabase/functions/_shared/errors.ts";
import { cursorOf, startAgent, type TestClient } from "../../support/agent_harness.ts";
import { settle } from "../../support/manual_clock.ts";

const ids = fc.constantFrom("a", "b", "c", "d", "e", "f", "g");
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("ask"),
      who: fc.nat(2),
      id: ids,
      policy: fc.constantFrom("queue", "reject", "interrupt", "latest"),
      priority: fc.constantFrom("high", "normal", "low"),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("text"), text: fc.string({ minLength: 1 }) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("finish") }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("fail") }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("cancel"),
      who: fc.nat(2),
      args: fc.oneof(fc.constant({}), fc.record({ id: ids }), fc.constant({ all: true })),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("clear"), who: fc.nat(2) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("reconnect"), who: fc.nat(2) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("say"), who: fc.nat(2), json: fc.jsonValue() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("settle") }) },
) as fc.Arbitrary<
  {
    do: string;
    who: number;
    id: string;
    policy: string;
    priority: string;
    text: string;
    args: Record<string, unknown>;
    json: unknown;
  }
>;

/** What one user sees across all her connections, as a client that resumes by its cursor keeps it. */
class Seat {
  readonly past: TestClient[] = [];
  client: TestClient;

  constructor(client: TestClient) {
    this.client = client;
  }

  get seqs(): number[] {
    return [...this.past, this.client].flatMap(({ frames }) =>
      frames.flatMap((frame) =>
        typeof frame.seq === "number" && frame.replay === undefined && !isRepeatedStatus(frame)
          ? [frame.seq]
          : []
      )
    );
  }
}

/** A query sent twice is acknowledged twice, with the same seq. */
const isRepeatedStatus = (frame: { type: string; code?: unknown }): boolean =>
  frame.type === "status" && (frame.code === "thinking" || frame.code === "queued");

Deno.test("[QU2] [SQ1] [SQ2] [SQ3] [DL2] [DL3] [RS7] any interleaving of two seats, model and network", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const { connect, model } = startAgent({ settings: { maxQueue: 3 } });
      const first = await connect("stream=true");
      const seats = [new Seat(first), new Seat(await connect(`stream=true&${first.resumeQuery(0)}`))];
      const seatOf = (who: number): Seat => seats[who % seats.length] ?? assert.fail();
      for (const each of steps) {
        const { client } = seatOf(each.who ?? 0);
        if (each.do === "ask") {
          client.ask(`question ${each.id}`, { id: each.id, policy: each.policy, priority: each.priority });
        } else if (each.do === "text") model.calls.at(-1)?.say(each.text);
        else if (each.do === "finish") model.calls.at(-1)?.finish();
        else if (each.do === "fail") {
          model.calls.at(-1)?.fail(new AgentError("model_unavailable", "gone", { retryable: true }));
        } else if (each.do === "cancel") client.command("cancel", each.args);
        else if (each.do === "clear") client.command("clear");
        else if (each.do === "say") client.say(JSON.stringify(each.json));
        else if (each.do === "reconnect") {
          const seat = seatOf(each.who);
          await settle();
          const cursor = cursorOf(client);
          client.vanish();
          seat.past.push(client);
          seat.client = await connect(
            `stream=true&session_id=${first.sessionId}&resume_token=${first.welcome.resume_token}&last_seq=${cursor}`,
          );
          assert.equal((seat.client.welcome.resumed as { recovered: boolean }).recovered, true);
        } else await settle();
      }
      await settle();
      // Everything that runs or waits comes to its end.
      for (let call = model.calls.at(-1), last = undefined; call !== last; call = model.calls.at(-1)) {
        last = call;
        await settle();
        call?.finish();
        await settle();
      }
      const all = await connect(`session_id=${first.sessionId}&resume_token=${first.welcome.resume_token}`);
      const durable = all.frames.filter(({ seq }) => seq !== undefined);
      durable.forEach(({ seq }, index) => assert.equal(seq, index + 1, "without holes"));
      const questions = durable.filter(({ type }) => type === "query").map(({ id }) => id);
      const ends = durable.filter(({ type, code }) =>
        type === "response" || type === "error" || code === "cancelled"
      )
        .map(({ in_reply_to }) => in_reply_to);
      assert.deepEqual([...ends].sort(), [...questions].sort(), "one terminal event for each query");
      assert.equal(new Set(questions).size, questions.length, "each id once");
      for (const seat of seats) {
        assert.deepEqual(seat.seqs, [...seat.seqs].sort((a, b) => a - b), "in order");
        assert.equal(new Set(seat.seqs).size, seat.seqs.length, "each once");
        for (const response of seat.client.of("response")) {
          const text = seat.client.textOf(response.turn_id);
          assert.ok(
            response.content.startsWith(text),
            `deltas ${JSON.stringify(text)} of ${JSON.stringify(response.content)}`,
          );
        }
      }
    }),
    { numRuns: 300 },
  );
});
