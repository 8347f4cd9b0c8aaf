/**
 * All sides of the fan-out in one process, so that other load on the machine affects them equally: our hub, a bare send
 * loop, and no watchers.
 */

import { ActivityHub } from "../../supabase/functions/_shared/activity/activity_hub.ts";
import { activityEventHelpers } from "../../supabase/functions/_shared/activity/event_helpers.ts";
import { Metrics } from "../../supabase/functions/_shared/metrics.ts";
import { OnDemand } from "../../supabase/functions/_shared/on_demand.ts";
import { systemClock, systemIds } from "../../supabase/functions/_shared/platform/system.ts";
import { wrapSocket } from "../../supabase/functions/_shared/platform/web_socket.ts";
import { decodeAction } from "../../supabase/functions/_shared/protocol/activity_actions.ts";
import type { ActivityEvent } from "../../supabase/functions/_shared/protocol/activity_events.ts";

/** One way of sending an event to all watchers. */
interface Side {
  accept(socket: WebSocket): void;
  broadcast(event: ActivityEvent): void;
}

const clock = systemClock();
const { createReasoningUpdateEvent } = activityEventHelpers(clock);
const sides: Readonly<Record<string, Side>> = { nobody: nobody(), bare: bareLoop(), ours: ourHub() };
let accepting: string | null = null;

Deno.serve({ onListen: () => {} }, async (request): Promise<Response> => {
  const { pathname, searchParams } = new URL(request.url);
  const side = sides[searchParams.get("side") ?? accepting ?? ""];
  if (side === undefined) return new Response(null, { status: 400 });
  switch (pathname) {
    // Selects the side for the next sockets.
    case "/accept":
      accepting = searchParams.get("side");
      return new Response(null, { status: 204 });
    // Answers when all events have been broadcast, each with its number in `sessionId`.
    case "/emit":
      await emit(side, Number(searchParams.get("events")), Number(searchParams.get("everyMs")));
      return new Response(null, { status: 204 });
  }
  const { socket, response } = Deno.upgradeWebSocket(request);
  side.accept(socket);
  return response;
});

async function emit(side: Side, events: number, everyMs: number): Promise<void> {
  const activeStreams = [crypto.randomUUID()];
  const startedAt = performance.now();
  for (let index = 0; index < events; index++) {
    // Scheduled by the clock, not by the timer: a late event does not delay the next ones.
    const dueInMs = startedAt + index * everyMs - performance.now();
    if (dueInMs > 0) await new Promise((resolve) => setTimeout(resolve, dueInMs));
    const sessionId = String(index);
    side.broadcast(
      createReasoningUpdateEvent({ sessionId, stage: "streaming", progress: 0.5, activeStreams }),
    );
  }
}

/** The cost of an event without watchers. */
function nobody(): Side {
  return { accept: () => {}, broadcast: (event) => void JSON.stringify(event) };
}

/** The minimum that sends an event to all watchers: encode once, send in a loop. */
function bareLoop(): Side {
  const sockets = new Set<WebSocket>();
  return {
    accept(socket): void {
      socket.onopen = () => {
        sockets.add(socket);
        socket.send("{}");
      };
      socket.onmessage = () => {};
      socket.onclose = () => sockets.delete(socket);
    },
    broadcast(event): void {
      const text = JSON.stringify(event);
      for (const socket of sockets) socket.send(text);
    },
  };
}

/** The hub as in the function. */
function ourHub(): Side {
  const hub = new ActivityHub({
    clock,
    ids: systemIds(),
    log: { write: () => {} },
    metrics: new Metrics(),
    maxBufferedBytes: 1_048_576,
    maxMessageBytes: 65_536,
    isPinged: true,
    decoder: OnDemand.of(decodeAction),
  });
  return {
    accept(socket): void {
      const client = hub.connect(wrapSocket(socket), { sees: "all" });
      socket.binaryType = "arraybuffer";
      socket.onopen = () => client.opened();
      socket.onmessage = ({ data }) => client.received(data);
      socket.onclose = ({ code }) => client.lost(code);
    },
    broadcast: (event) => hub.broadcast(event),
  };
}
