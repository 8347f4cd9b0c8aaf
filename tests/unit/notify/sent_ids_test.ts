import assert from "node:assert/strict";
import { SentIds } from "../../../supabase/functions/_shared/notify/sent_ids.ts";
import { Notifier } from "../../../supabase/functions/_shared/notify/notifier.ts";
import { ManualClock } from "../../support/manual_clock.ts";
import { RecordingLog } from "../../support/recording_log.ts";

const send = (): Promise<void> => Promise.resolve();

Deno.test("[NT6] SentIds: a repeat is known by its fingerprint, and the oldest of 10,000 is forgotten", async () => {
  const ids = new SentIds(new ManualClock());
  assert.equal(await ids.once("a", "fingerprint", send), false);
  assert.equal(await ids.once("a", "fingerprint", send), true);
  await assert.rejects(ids.once("a", "another", send), { code: "id_conflict" });
  for (let count = 0; count < 10_000; count++) await ids.once(`b${count}`, "f", send);
  assert.equal(await ids.once("a", "another", send), false);
});

Deno.test("[NT6] SentIds: a repeat of what is being sent waits for it, and may send it if it fails", async () => {
  const ids = new SentIds(new ManualClock());
  const [first, second] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let sent = 0;
  const slow = (until: Promise<void>) => (): Promise<void> => {
    sent++;
    return until;
  };
  const both = [ids.once("a", "f", slow(first.promise)), ids.once("a", "f", slow(first.promise))];
  await assert.rejects(ids.once("a", "another", send), { code: "id_conflict" });
  first.reject(new Error("no relay"));
  for (const one of both) await assert.rejects(one, { message: "no relay" });
  const again = [ids.once("a", "f", slow(second.promise)), ids.once("a", "f", slow(second.promise))];
  second.resolve();
  assert.deepEqual(await Promise.all(again), [false, true]);
  assert.equal(sent, 2, "once in vain, and once");
});

Deno.test("[NT6] Notifier: of what was sent its id and a hash are kept, however long it was", async () => {
  const kept: string[] = [];
  const { once } = SentIds.prototype;
  SentIds.prototype.once = function (id, fingerprint, send): Promise<boolean> {
    kept.push(id, fingerprint);
    return once.call(this, id, fingerprint, send);
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
    assert.deepEqual(kept.map(({ length }) => length), [1, 64, 1, 64, 1, 64]);
  } finally {
    SentIds.prototype.once = once;
  }
});
