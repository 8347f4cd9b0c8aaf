/** How a test with two workers begins: a session at one of them, and often a second client of it at the other. */

import type { ContinuePolicy } from "../../supabase/functions/_shared/config.ts";
import type { TestClient } from "./agent_harness.ts";
import { settle } from "./manual_clock.ts";
import { startWorkers, type TestWorker, type Workers } from "./workers.ts";

export interface TwoWorkersOptions {
  policy?: ContinuePolicy;
  /** Whether the clients get deltas. */
  stream?: boolean;
  /** What the client at `a` asks, by the ids of its queries. */
  asks?: Readonly<Record<string, string>>;
}

export interface TwoWorkers {
  workers: Workers;
  a: TestWorker;
  b: TestWorker;
  /** At `a`. */
  client: TestClient;
}

/** Two workers, and at `a` a client that gets deltas unless told otherwise. What it asks is under way. */
export async function startTwoWorkers(
  { policy, stream = true, asks = {} }: TwoWorkersOptions = {},
): Promise<TwoWorkers> {
  const workers = startWorkers(policy && { policy });
  const a = workers.start("a");
  const b = workers.start("b");
  const client = await a.connect(`stream=${stream}`);
  for (const [id, content] of Object.entries(asks)) client.ask(content, { id });
  await settle();
  return { workers, a, b, client };
}

/** The same, with another client of the session at `b`, which sees it from the start. They get no deltas unless told. */
export async function startTwoClients(
  options: TwoWorkersOptions = {},
): Promise<TwoWorkers & { other: TestClient }> {
  const { stream = false } = options;
  const two = await startTwoWorkers({ ...options, stream });
  const other = await two.b.connect(`stream=${stream}&${two.client.resumeQuery(0)}`);
  return { ...two, other };
}

/** What a client does that has lost its worker. */
export async function resumeAt(
  worker: TestWorker,
  client: TestClient,
  lastSeq: number = Math.max(0, ...client.seqs),
): Promise<TestClient> {
  return await worker.connect(`stream=true&${client.resumeQuery(lastSeq)}`);
}

/** Time passes bit by bit: what a slow store is asked goes there and comes back. */
export async function inSteps(workers: Workers, ms: number): Promise<void> {
  const stepMs = Math.max(10, Math.ceil(ms / 50));
  for (let passedMs = 0; passedMs < ms; passedMs += stepMs) {
    await workers.pass(Math.min(stepMs, ms - passedMs));
  }
}
