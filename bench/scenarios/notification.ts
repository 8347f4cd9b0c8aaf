/**
 * The time of a notification from the POST to `notify_websocket` until its frame is at the client's socket on a worker
 * of `agent_websocket`. The comparison is the minimum for a notification over Realtime: one `httpSend` to one channel's
 * callback.
 *
 * Both use the same gateway and the same local Realtime, which run in this process together with the sender and the
 * client. Each of the two workers has a process of its own. Notifications are sent one at a time with a pause, because
 * the relay batches notifications that are closer together.
 */

import { createClient } from "@supabase/supabase-js";
import { type LocalStack, startLocalStack } from "../../local/stack.ts";
import { inheritedEnv } from "../host/server_process.ts";
import { RawSocket } from "../load/raw_socket.ts";
import { invalid } from "../report/invalid.ts";
import { differenceRow } from "../report/row.ts";
import { quantile } from "../report/statistics.ts";
import type { Scenario } from "./scenario.ts";

const WARM_UP = 50;
/** Longer than the batch delay of the relay. */
const PAUSE_MS = 25;
const ARRIVAL_TIMEOUT_MS = 10_000;
const EVENT = "notification";

/** One side: sends the text, and resolves when it has arrived. */
interface Way {
  send(text: string): Promise<void>;
  /** Called with each text that arrives. */
  onArrival: (text: string) => void;
  close(): Promise<void>;
}

export const notification: Scenario = async ({ isQuick, modelPort, onProgress }) => {
  const stack = await startLocalStack({
    env: {
      ...inheritedEnv(),
      AUTH_MODE: "none",
      RATE_LIMIT_PER_MINUTE: "0",
      NOTIFY_RATE_LIMIT_PER_MINUTE: "0",
    },
    lite: false,
    model: { baseUrl: `http://127.0.0.1:${modelPort}` },
    realtime: { limits: { eventsPerSecond: 0 } },
  });
  try {
    const ways = [await bareRealtime(stack), await overNotify(stack)];
    const series: [number[], number[]] = [[], []];
    const samples = isQuick ? 150 : 600;
    for (let sample = -WARM_UP; sample < samples; sample++) {
      for (const [index, way] of ways.entries()) {
        const ms = await measure(way, `sample ${sample}`);
        if (sample >= 0) series[index]?.push(ms);
        await pause(PAUSE_MS);
      }
    }
    onProgress(`${samples} notifications each way`);
    await Promise.all(ways.map((way) => way.close()));
    const row = (what: string, share: number): ReturnType<typeof differenceRow> =>
      differenceRow(what, {
        floor: quantile(series[0], share),
        ours: quantile(series[1], share),
        unit: "ms",
        goal: undefined,
      });
    return [row("notification, POST to the client's socket, p50", 0.5), row("  p99", 0.99)];
  } finally {
    await stack.stop();
  }
};

async function measure(way: Way, text: string): Promise<number> {
  const { promise: arrival, resolve } = Promise.withResolvers<number>();
  way.onArrival = (arrived) => arrived === text && resolve(performance.now());
  const { promise: timeout, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(invalid(`${text} did not arrive`)), ARRIVAL_TIMEOUT_MS);
  try {
    const startedAt = performance.now();
    const sent = way.send(text);
    const arrivedAt = await Promise.race([arrival, timeout]);
    await sent;
    return arrivedAt - startedAt;
  } finally {
    clearTimeout(timer);
  }
}

/** The floor: two clients, as a project would write them. */
async function bareRealtime({ url, keys }: LocalStack): Promise<Way> {
  const [sender, receiver] = [0, 1].map(() =>
    createClient(url, keys.secretKey, { auth: { persistSession: false, autoRefreshToken: false } })
  );
  if (sender === undefined || receiver === undefined) throw invalid("no clients");
  const config = { private: true };
  const sending = sender.channel("bench", { config });
  const way: Way = {
    onArrival: () => {},
    async send(text): Promise<void> {
      const sent = await sending.httpSend(EVENT, { text });
      if (!sent.success) throw invalid(`Realtime answered ${sent.status}`);
    },
    async close(): Promise<void> {
      await receiver.realtime.disconnect();
    },
  };
  await new Promise<void>((resolve, reject) => {
    receiver.channel("bench", { config })
      .on("broadcast", { event: EVENT }, ({ payload }) => way.onArrival(payload.text))
      .subscribe((status) => status === "SUBSCRIBED" ? resolve() : reject(invalid(`Realtime: ${status}`)));
  });
  return way;
}

/** Our side: a client with a session, and a sender that posts to that session. */
async function overNotify({ url, keys }: LocalStack): Promise<Way> {
  const functions = `${url}/functions/v1`;
  const socket = await RawSocket.open(Number(new URL(url).port), {
    path: "/functions/v1/agent_websocket",
  });
  const [welcome] = socket.frames;
  const { session_id } = JSON.parse(new TextDecoder().decode(welcome));
  let health: Record<string, unknown>;
  do {
    await pause(PAUSE_MS);
    health = await (await fetch(`${functions}/agent_websocket/health`)).json();
  } while (health.relay !== "ok");
  const way: Way = {
    onArrival: () => {},
    async send(text): Promise<void> {
      const response = await fetch(`${functions}/notify_websocket`, {
        method: "POST",
        headers: { apikey: keys.secretKey, "content-type": "application/json" },
        body: JSON.stringify({ session_id, message: text }),
      });
      await response.body?.cancel();
      if (response.status !== 202) throw invalid(`notify_websocket answered ${response.status}`);
    },
    close: () => Promise.resolve(socket.close()),
  };
  socket.onFrame = (payload) => way.onArrival(JSON.parse(new TextDecoder().decode(payload)).content);
  return way;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
