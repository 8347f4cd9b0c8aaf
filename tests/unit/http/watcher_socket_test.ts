import assert from "node:assert/strict";
import type { ActivityHub } from "../../../supabase/functions/_shared/activity/activity_hub.ts";
import type { Watcher } from "../../../supabase/functions/_shared/activity/activity_client.ts";
import { AgentError } from "../../../supabase/functions/_shared/errors.ts";
import { BytePool } from "../../../supabase/functions/_shared/guard/byte_pool.ts";
import { Slots } from "../../../supabase/functions/_shared/guard/slots.ts";
import {
  WatcherSocket,
  type WatcherSocketDeps,
} from "../../../supabase/functions/_shared/http/watcher_socket.ts";
import type { Socket } from "../../../supabase/functions/_shared/ports/runtime.ts";
import { ACTIVITY_CLOSE } from "../../../supabase/functions/_shared/protocol/close_codes.ts";
import { type ManualClock, settle } from "../../support/manual_clock.ts";
import { startHub } from "../activity/watching.ts";

class FakeSocket implements Socket {
  readonly texts: string[] = [];
  readonly bufferedAmount = 0;
  closed: { code: number; reason: string } | undefined;

  send(text: string): void {
    assert.equal(this.closed, undefined, "sent after close");
    this.texts.push(text);
  }

  close(code: number, reason: string): void {
    assert.equal(this.closed, undefined, "closed twice");
    this.closed = { code, reason };
  }

  get codes(): unknown[] {
    return this.texts.map((text) => JSON.parse(text).code);
  }
}

interface TestWatching {
  clock: ManualClock;
  hub: ActivityHub;
  identity: PromiseWithResolvers<Watcher>;
  /** Work that keeps the worker alive. */
  held: Promise<unknown>[];
  deps: WatcherSocketDeps;
  /** A socket that has opened. */
  dial(address?: string): { socket: FakeSocket; watcher: WatcherSocket };
}

function startWatching(limits: Partial<WatcherSocketDeps> = {}): TestWatching {
  const { clock, hub } = startHub();
  const identity = Promise.withResolvers<Watcher>();
  const held: Promise<unknown>[] = [];
  const deps: WatcherSocketDeps = {
    clock,
    lifetime: { hold: (work) => void held.push(work) },
    hub: () => Promise.resolve(hub),
    authTimeoutMs: 5000,
    maxMessageBytes: 16_384,
    maxWatchers: 100,
    maxConnectionsPerAddress: 0,
    addresses: new Slots(),
    waitingWatchers: new Slots(),
    waiting: new BytePool(),
    isDraining: () => false,
    ...limits,
  };
  function dial(address = "192.0.2.1"): { socket: FakeSocket; watcher: WatcherSocket } {
    const socket = new FakeSocket();
    const watcher = new WatcherSocket(socket, { address, identify: () => identity.promise }, deps);
    watcher.opened();
    return { socket, watcher };
  }
  return { clock, hub, identity, held, deps, dial };
}

Deno.test("[AC26] what a watcher says before it is known is taken after it, in order", async () => {
  const { dial, identity, deps } = startWatching();
  const { socket, watcher } = dial();
  watcher.received("x".repeat(20_000));
  for (let count = 0; count < 3; count++) watcher.received('{"action":"ping"}');
  assert.ok(deps.waiting.used < 100, "a frame that is too long is not kept");
  identity.resolve({ sees: "all" });
  await settle();
  const types = socket.texts.map((text) => JSON.parse(text).data.message);
  assert.match(types[0], /^Connected as/);
  assert.deepEqual(types.slice(1), ["pong", "pong", "pong"]);
  assert.equal(deps.waiting.used, 0);
});

Deno.test("[AC26] more than 20 frames, or 64 KiB of them, before it is known who it is: 1008, and 1009 for a huge one", () => {
  const { dial, deps } = startWatching();
  const many = dial();
  for (let count = 0; count < 20; count++) many.watcher.received("{}");
  assert.equal(many.socket.closed, undefined);
  for (let count = 0; count < 5; count++) many.watcher.received("{}");
  assert.deepEqual(many.socket.closed, { code: 1008, reason: "Rate limit abused" });
  const large = dial();
  for (let count = 0; count < 5; count++) large.watcher.received("x".repeat(16_000));
  assert.equal(large.socket.closed?.code, 1008);
  const huge = dial();
  huge.watcher.received(new ArrayBuffer(16 * 16_384 + 1));
  assert.deepEqual(huge.socket.closed, { code: 1009, reason: "Frame too large" });
  assert.equal(deps.waiting.used, 0, "nothing is kept of who was closed");
});

Deno.test("[AC26] what waits of all watchers and connections together is bounded", () => {
  const { dial, deps } = startWatching({ waiting: new BytePool({ maxBytes: 40_000 }) });
  const watchers = Array.from({ length: 4 }, () => dial());
  for (const { watcher } of watchers) watcher.received("x".repeat(16_000));
  assert.equal(deps.waiting.used, 32_000);
  assert.equal(watchers.filter(({ socket }) => socket.closed !== undefined).length, 2);
});

Deno.test("[AC26] a watcher who becomes known while the worker is being replaced is sent on", async () => {
  let isDraining = false;
  const { dial, identity, hub } = startWatching({ isDraining: () => isDraining });
  const { socket } = dial();
  isDraining = true;
  hub.close();
  identity.resolve({ sees: "all" });
  await settle();
  assert.deepEqual(socket.closed, ACTIVITY_CLOSE.shuttingDown);
  assert.equal(hub.getClientCount(), 0);
});

Deno.test("[AC26] who is not known in time is sent away, and may say nothing more", async () => {
  const { dial, identity, clock, hub, held, deps } = startWatching();
  const { socket, watcher } = dial();
  clock.advance(4999);
  assert.equal(socket.closed, undefined);
  clock.advance(1);
  assert.deepEqual(socket.codes, ["store_unavailable"]);
  assert.deepEqual(socket.closed, { code: 1013, reason: "Try again later" });
  watcher.received("x".repeat(10_000));
  identity.resolve({ sees: "all" });
  await settle();
  assert.deepEqual([deps.waiting.used, deps.waitingWatchers.count("watchers")], [0, 0]);
  assert.equal(hub.getClientCount(), 0);
  // Its peer never answers the close.
  clock.advance(5000);
  await Promise.all(held);
  assert.equal(deps.addresses.count("192.0.2.1"), 0);
  assert.equal(clock.pending, 0);
});

Deno.test("[AC26] a refusal is told once, whatever ends first", async () => {
  for (const isLost of [false, true]) {
    const { dial, identity, clock, held } = startWatching();
    const { socket, watcher } = dial();
    if (isLost) watcher.lost(1006);
    identity.reject(new AgentError("unauthorized", "no"));
    await settle();
    assert.deepEqual(
      [socket.codes, socket.closed?.code],
      isLost ? [[], undefined] : [["unauthorized"], 4001],
    );
    watcher.lost(1006);
    watcher.lost(1005);
    await Promise.all(held);
    assert.equal(clock.pending, 0);
  }
});

Deno.test("[AC26] [LM12] only so many wait to be known, in the worker and of one address", () => {
  const { dial, deps } = startWatching({ maxWatchers: 3, maxConnectionsPerAddress: 2 });
  const [first, , third] = [dial(), dial(), dial()];
  assert.deepEqual(third.socket.codes, ["too_many_connections"]);
  assert.deepEqual(third.socket.closed, { code: 1013, reason: "Too many connections" });
  const [other, full] = [dial("192.0.2.2"), dial("192.0.2.3")];
  assert.equal(other.socket.closed, undefined);
  assert.deepEqual([full.socket.texts, full.socket.closed], [[], {
    code: 1013,
    reason: "Maximum clients reached",
  }]);
  for (const { watcher } of [first, third, other, full]) watcher.lost(1006);
  assert.equal(deps.waitingWatchers.count("watchers"), 1);
  assert.equal(dial().socket.closed, undefined);
});
