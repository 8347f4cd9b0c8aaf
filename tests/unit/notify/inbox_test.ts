import assert from "node:assert/strict";
import { Inbox, type RelayReaders } from "../../../supabase/functions/_shared/notify/inbox.ts";
import { readRelayedNotification } from "../../../supabase/functions/_shared/notify/relayed.ts";
import { OnDemand } from "../../../supabase/functions/_shared/on_demand.ts";
import type { RelayListener } from "../../../supabase/functions/_shared/ports/relay.ts";
import { readSessionCall } from "../../../supabase/functions/_shared/protocol/session_call.ts";
import { RELAY_MESSAGES } from "../../../supabase/functions/_shared/protocol/topics.ts";
import { settle } from "../../support/manual_clock.ts";
import { RecordingLog } from "../../support/recording_log.ts";

Deno.test("[DU8] Inbox: what is over what may wait for its readers is looked for in the log", async () => {
  const load = Promise.withResolvers<RelayReaders>();
  const listeners: RelayListener[] = [];
  const log = new RecordingLog();
  const calls: string[] = [];
  let missed = 0;
  const inbox = new Inbox({
    relay: {
      status: "ok",
      subscribe: (_, listener) => {
        listeners.push(listener);
        return () => {};
      },
      publish: () => Promise.resolve(),
      close: () => Promise.resolve(),
    },
    readers: new OnDemand(() => load.promise, { maxWaiting: 100 }),
    log,
    topicOf: () => "topic",
    everyoneTopic: "everyone",
    self: "me",
    sinks: {
      toSession: () => {},
      toUser: () => {},
      toEveryone: () => {},
      call: (sessionId) => void calls.push(sessionId),
      missed: () => void missed++,
      activity: () => false,
      joiningEveryone: () => {},
      joinedEveryone: () => {},
    },
  });
  inbox.sessionOpened("s");
  for (let count = 0; count < 150; count++) {
    listeners[0]?.onMessage({
      event: RELAY_MESSAGES.sessionCall,
      payload: { from: "another", sessionId: `s${count}`, call: { kind: "appended", seq: 1 } },
    });
  }
  assert.equal(missed, 50);
  load.resolve({ readSessionCall, readRelayedNotification });
  await settle();
  assert.deepEqual(calls, Array.from({ length: 100 }, (_, count) => `s${count}`));
  assert.deepEqual(log.events, []);
});
