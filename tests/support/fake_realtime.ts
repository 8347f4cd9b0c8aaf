/** A relay over fake connections that a test opens and breaks. */

import assert from "node:assert/strict";
import type {
  RealtimeConnection,
  RealtimeEvents,
} from "../../supabase/functions/_shared/platform/realtime_connection.ts";
import { RealtimeRelay } from "../../supabase/functions/_shared/platform/realtime_relay.ts";
import { ManualClock } from "./manual_clock.ts";
import { RecordingLog } from "./recording_log.ts";

export const LINGER_MS = 5000;

export class FakeConnection implements RealtimeConnection {
  readonly joins: string[] = [];
  readonly topics = new Set<string>();
  readonly events: RealtimeEvents;
  isClosed = false;

  constructor(events: RealtimeEvents) {
    this.events = events;
  }

  join(topic: string): void {
    assert.ok(!this.isClosed && !this.topics.has(topic));
    this.joins.push(topic);
    this.topics.add(topic);
  }

  leave(topic: string): void {
    assert.ok(!this.isClosed && this.topics.delete(topic) && this.topics.size > 0);
  }

  close(): void {
    assert.ok(!this.isClosed);
    this.isClosed = true;
  }

  acceptAll(): void {
    for (const topic of this.topics) this.events.joined(topic);
  }
}

export interface RelaySetting {
  clock: ManualClock;
  log: RecordingLog;
  relay: RealtimeRelay;
  /** Every connection created, in order. */
  connections: FakeConnection[];
  /** The only connection. Fails if there is none, or more than one. */
  connection(): FakeConnection;
}

export function setUpRelay({ random = () => 1 }: { random?: () => number } = {}): RelaySetting {
  const clock = new ManualClock();
  const log = new RecordingLog();
  const connections: FakeConnection[] = [];
  const relay = new RealtimeRelay({
    clock,
    log,
    random,
    lingerMs: LINGER_MS,
    connect(events): Promise<FakeConnection> {
      const connection = new FakeConnection(events);
      connections.push(connection);
      return Promise.resolve(connection);
    },
    publish: () => Promise.resolve(),
  });
  function connection(): FakeConnection {
    const [only, ...others] = connections.filter(({ isClosed }) => !isClosed);
    assert.ok(only !== undefined && others.length === 0);
    return only;
  }
  return { clock, log, relay, connections, connection };
}
