import assert from "node:assert/strict";
import { SentIds } from "../../../supabase/functions/_shared/notify/sent_ids.ts";
import { Notifier } from "../../../supabase/functions/_shared/notify/notifier.ts";
import { ManualClock } from "../../support/manual_clock.ts";
import { RecordingLog } from "../../support/recording_log.ts";

Deno.test("[NT6] SentIds: a repeat is known by its fingerprint, and the oldest of 10,000 is forgotten", () => {
  const sent = new SentIds(new ManualClock());
  sent.add("a", "fingerprint");
  assert.ok(sent.has("a", "fingerprint"));
  assert.throws(() => sent.has("a", "another"), { code: "id_conflict" });
  for (let count = 0; count < 10_000; count++) sent.add(`b${count}`, "f");
  assert.equal(sent.has("a", "another"), false);
});

Deno.test("[NT6] Notifier: of what was sent its id and a hash are kept, however long it was", async () => {
  const kept: string[] = [];
  const { add } = SentIds.prototype;
  SentIds.prototype.add = function (id, fingerprint): void {
    kept.push(id, fingerprint);
    add.call(this, id, fingerprint);
  };
  try {
    const notifier = new Notifier({
      clock: new ManualClock(),
      ids: { uuid: () => "", secret: () => "" },
      log: new RecordingLog(),
      relay: { publish: () => Promise.resolve() },
      store: () => Promise.resolve(undefined),
      call: () => {},
      topicOf: () => "topic",
      everyoneTopic: "everyone",
    });
    const say = (content: string): Promise<unknown> =>
      notifier.send({
        id: "a",
        source: undefined,
        target: { kind: "broadcast" },
        message: { type: "notification", content },
      }, { kind: "service" });
    const long = "x".repeat(60_000);
    assert.deepEqual(await say(long), { id: "a", durable: false });
    assert.deepEqual(await say(long), { id: "a", durable: false, repeated: true });
    await assert.rejects(say(`${long}y`), { code: "id_conflict" });
    assert.deepEqual(kept.map(({ length }) => length), [1, 64]);
  } finally {
    SentIds.prototype.add = add;
  }
});
