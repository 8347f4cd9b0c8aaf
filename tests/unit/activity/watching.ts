/** A hub that tests drive by hand: with a manual clock, and watchers whose sockets are arrays. */

import assert from "node:assert/strict";
import * as z from "zod";
import type {
  ActivityClient,
  Watcher,
} from "../../../supabase/functions/_shared/activity/activity_client.ts";
import {
  type ActivityConfig,
  type ActivityDeps,
  ActivityHub,
} from "../../../supabase/functions/_shared/activity/activity_hub.ts";
import {
  type ActivityEventHelpers,
  activityEventHelpers,
} from "../../../supabase/functions/_shared/activity/event_helpers.ts";
import { Metrics } from "../../../supabase/functions/_shared/metrics.ts";
import { OnDemand } from "../../../supabase/functions/_shared/on_demand.ts";
import type { LogEntry, Socket } from "../../../supabase/functions/_shared/ports/runtime.ts";
import { decodeAction } from "../../../supabase/functions/_shared/protocol/activity_actions.ts";
import {
  activityBatch,
  type ActivityEvent,
  activityEvent,
  activitySubscribed,
} from "../../../supabase/functions/_shared/protocol/activity_events.ts";
import { errorFrame } from "../../../supabase/functions/_shared/protocol/server_frames.ts";
import { ManualClock } from "../../support/manual_clock.ts";

const anyFrame = z.union([activityEvent, activityBatch, activitySubscribed, errorFrame]);

/** A frame, with every field that a test may check. */
export interface SeenFrame {
  type: string;
  timestamp?: string;
  data?: Record<string, unknown>;
  events?: ActivityEvent[];
  code?: string;
}

/** The far end of one watcher. Every frame it receives is checked against the schemas. */
export class TestWatcher implements Socket {
  /** In the order of arrival. */
  readonly texts: string[] = [];
  bufferedAmount = 0;
  /** Whether it has stopped reading. */
  isStalled = false;
  closed: { code: number; reason: string } | undefined;
  #client: ActivityClient | undefined;

  get client(): ActivityClient {
    assert.ok(this.#client);
    return this.#client;
  }

  attach(client: ActivityClient): void {
    this.#client = client;
  }

  send(text: string): void {
    assert.equal(this.closed, undefined, "sent after close");
    this.texts.push(text);
    if (this.isStalled) this.bufferedAmount += text.length;
  }

  close(code: number, reason: string): void {
    assert.equal(this.closed, undefined, "closed twice");
    this.closed = { code, reason };
  }

  /** Sends an object as JSON, or text or bytes unchanged. */
  say(frame: string | ArrayBuffer | Record<string, unknown>): void {
    this.client.received(
      typeof frame === "string" || frame instanceof ArrayBuffer ? frame : JSON.stringify(frame),
    );
  }

  /** The socket closes without a close frame. */
  vanish(): void {
    this.client.lost(1006);
  }

  get frames(): SeenFrame[] {
    return this.texts.map((text) => {
      const frame: unknown = JSON.parse(text);
      const checked = anyFrame.safeParse(frame);
      assert.ok(checked.success, `not in the schema: ${text}`);
      return frame as SeenFrame;
    });
  }

  /** Everything after the first frame. */
  get heard(): SeenFrame[] {
    return this.frames.slice(1);
  }

  /** The types of everything after the first frame. */
  get types(): string[] {
    return this.heard.map(({ type }) => type);
  }

  /** Every received event, in batches or not. */
  get events(): ActivityEvent[] {
    return this.heard.flatMap((frame) => frame.events ?? [frame as ActivityEvent]);
  }
}

export interface TestHub extends ActivityEventHelpers {
  clock: ManualClock;
  hub: ActivityHub;
  logged: LogEntry[];
  metrics: Metrics;
  /** A watcher whose socket is not open yet. */
  dial(sees?: Watcher["sees"], expiresAt?: number): TestWatcher;
  /** A watcher that sees `all`, unless `sees` is given. */
  watch(sees?: Watcher["sees"], expiresAt?: number): TestWatcher;
}

/** A hub with the defaults. By default, its runtime sends pings. */
export function startHub(
  config: { [Name in keyof ActivityConfig]?: ActivityConfig[Name] | undefined } = {},
  deps: Partial<ActivityDeps> = {},
): TestHub {
  const clock = new ManualClock();
  const logged: LogEntry[] = [];
  const metrics = new Metrics();
  const hub = new ActivityHub({
    clock,
    ids: { uuid: () => crypto.randomUUID(), secret: () => "" },
    log: { write: (entry) => void logged.push(entry) },
    metrics,
    maxBufferedBytes: 1_048_576,
    maxMessageBytes: 65_536,
    isPinged: true,
    decoder: OnDemand.of(decodeAction),
    ...deps,
  }, config);
  function dial(sees?: Watcher["sees"], expiresAt?: number): TestWatcher {
    const watcher = new TestWatcher();
    watcher.attach(hub.connect(watcher, { sees: sees ?? "all", expiresAt }));
    return watcher;
  }
  function watch(sees?: Watcher["sees"], expiresAt?: number): TestWatcher {
    const watcher = dial(sees, expiresAt);
    watcher.client.opened();
    return watcher;
  }
  return { clock, hub, logged, metrics, dial, watch, ...activityEventHelpers(clock) };
}
