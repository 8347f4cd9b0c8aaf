/** Short deltas at the client: it shows the same as with full ones. */

import assert from "node:assert/strict";
import { deltaEncoder, type DeltaForm } from "../../../supabase/functions/_shared/protocol/delta_encoder.ts";
import { ShortDeltas } from "../../../client/short_deltas.ts";
import { settle } from "../../support/manual_clock.ts";
import { scriptedClient } from "../../support/scripted_sockets.ts";

const AT = Date.parse("2025-01-01T00:00:00.000Z");
/** Two turns whose frames come in turn: each with its form, as a server may choose them. */
const PIECES: readonly [turn: 1 | 2, type: "delta" | "reasoning", form: DeltaForm, text: string][] = [
  [1, "reasoning", "named", "Hm. "],
  [1, "delta", "short", "Hel"],
  [2, "delta", "named", "Wel"],
  [1, "delta", "short", "lo"],
  [2, "delta", "plain", "co"],
  [2, "reasoning", "short", "So."],
  [2, "delta", "short", 'me "日本"\n'],
  [1, "reasoning", "short", "Yes."],
];

/** The events of a client that is sent the pieces, in the given form or in the forms of the list. */
async function eventsOf(form?: DeltaForm): Promise<unknown[]> {
  const { clock, client, welcomed, events } = scriptedClient({ reasoning: true });
  clock.advance(AT - clock.now());
  const socket = await welcomed();
  const ids = [1, 2].map((n) => client.query(`question ${n}`).id);
  const offsets = new Map<string, number>();
  for (const [turn, type, own, text] of PIECES) {
    const queryId = ids[turn - 1] ?? assert.fail();
    const key = `${turn} ${type}`;
    const offset = offsets.get(key) ?? 0;
    offsets.set(key, offset + text.length);
    const encode = deltaEncoder({ turnId: `t-${queryId}`, queryId, ref: turn }, type);
    socket.say(encode(form ?? own, offset, text, clock.now()));
  }
  await settle();
  assert.deepEqual(events.error, []);
  return [
    events.message,
    client.turns.map(({ id, turnId, text, reasoning }) => [id, turnId, text, reasoning]),
  ];
}

Deno.test("[DL5] the client asks for short deltas, and its events are the same as with full ones", async () => {
  const { welcomed } = scriptedClient();
  assert.equal((await welcomed()).url.searchParams.get("deltas"), "short");
  const short = await eventsOf();
  assert.deepEqual(short, await eventsOf("plain"));
  assert.deepEqual(short[1], [["q1", "t-q1", "Hello", "Hm. Yes."], [
    "q2",
    "t-q2",
    'Welcome "日本"\n',
    "So.",
  ]]);
});

Deno.test("[DL5] a short delta is of its own connection's turn", async () => {
  const { client, welcomed, socket: next, events } = scriptedClient();
  const first = await welcomed();
  const turn = client.query("Hello?");
  const encode = deltaEncoder({ turnId: "t", queryId: turn.id, ref: 1 });
  first.say(encode("named", 0, "Hel", AT));
  first.say(encode("short", 3, "lo", AT));
  assert.equal(turn.text, "Hello");
  first.end(1006);
  const second = await next();
  second.welcome({ resumed: { recovered: true, from_seq: 1, to_seq: 0 } });
  second.say(encode("short", 5, " world", AT));
  assert.equal(turn.text, "Hello");
  assert.deepEqual(events.error.map(({ code }) => code), ["bad_frame"]);
  second.say(encode("named", 0, "Hello wor", AT));
  second.say(encode("short", 9, "ld", AT));
  assert.equal(turn.text, "Hello world");
});

Deno.test("[DL5] ShortDeltas keeps the ids of the newest turns", () => {
  const deltas = new ShortDeltas();
  const read = (ref: number, form: DeltaForm): string | undefined => {
    const encode = deltaEncoder({ turnId: `t${ref}`, queryId: `q${ref}`, ref });
    const frame = deltas.restore(JSON.parse(encode(form, 0, "x", AT)), AT);
    return frame?.type === "delta" ? frame.in_reply_to : undefined;
  };
  const refs = Array.from({ length: 1000 }, (_, index) => index + 1);
  for (const ref of refs) assert.equal(read(ref, "named"), `q${ref}`);
  const known = refs.filter((ref) => read(ref, "short") === `q${ref}`);
  assert.ok(known.length > 0 && known.length <= 100, `${known.length}`);
  assert.deepEqual(known, refs.slice(-known.length));
});
