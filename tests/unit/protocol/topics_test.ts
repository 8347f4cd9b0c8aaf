import assert from "node:assert/strict";
import {
  DEFAULT_RELAY_SHARDS,
  EVERYONE_TOPIC,
  fnv1a,
  MAX_RELAY_SHARDS,
  sessionTopic,
} from "../../../supabase/functions/_shared/protocol/topics.ts";

Deno.test("the hash is FNV-1a, by its published test vectors", () => {
  // http://www.isthe.com/chongo/src/fnv/test_fnv.c
  const vectors: [string, number][] = [
    ["", 0x811c9dc5],
    ["a", 0xe40c292c],
    ["b", 0xe70c2de5],
    ["foobar", 0xbf9cf968],
    ["chongo was here!\n", 0xd49930d5],
  ];
  for (const [text, hash] of vectors) assert.equal(fnv1a(text), hash, text);
});

Deno.test("a session's topic is always the same: other workers and functions must find it", () => {
  assert.equal(sessionTopic("00000000-0000-4000-8000-000000000000"), "agent_websocket:5");
  assert.equal(sessionTopic("00000000-0000-4000-8000-000000000001"), "agent_websocket:2");
  assert.equal(sessionTopic("00000000-0000-4000-8000-000000000000", 3), "agent_websocket:1");
  assert.equal(sessionTopic("anything", 1), "agent_websocket:0");
});

Deno.test("sessions spread evenly over the topics", () => {
  for (const shards of [2, 3, DEFAULT_RELAY_SHARDS, 16, MAX_RELAY_SHARDS]) {
    const counts = new Map<string, number>();
    const sessions = 1000 * shards;
    for (let session = 0; session < sessions; session++) {
      // Topics that differ only at the end, like UUIDs. This is probably the worst case: they differ little.
      const topic = sessionTopic(`3f2b8c1e-9d47-4a60-8b1f-${session.toString(16).padStart(12, "0")}`, shards);
      counts.set(topic, (counts.get(topic) ?? 0) + 1);
    }
    assert.equal(counts.size, shards);
    assert.equal(counts.has(EVERYONE_TOPIC), false);
    for (const [topic, count] of counts) assert.ok(count > 800 && count < 1200, `${topic}: ${count}`);
  }
});
