/**
 * The setup of a test with two workers: a session on one of them, and often a second client of the session on the
 * other.
 */

import type { ContinuePolicy } from "../../supabase/functions/_shared/config.ts";
import type { TestClient } from "./agent_harness.ts";
import { settle } from "./manual_clock.ts";
import { startWorkers, type TestWorker, type WorkerOptions, type Workers } from "./workers.ts";

export interface TwoWorkersOptions {
  policy?: ContinuePolicy;
  /** Whether the clients get deltas. */
  stream?: boolean;
  /** The queries of the client on `a`: the content by query id. */
  asks?: Readonly<Record<string, string>>;
  /** For both. */
  worker?: WorkerOptions;
}

export interface TwoWorkers {
  workers: Workers;
  a: TestWorker;
  b: TestWorker;
  /** Connected to `a`. */
  client: TestClient;
}

/** Two workers, and a client on `a` that gets deltas by default. Its queries are running or queued. */
export async function startTwoWorkers(
  { policy, stream = true, asks = {}, worker }: TwoWorkersOptions = {},
): Promise<TwoWorkers> {
  const workers = startWorkers(policy && { policy });
  const a = workers.start("a", worker);
  const b = workers.start("b", worker);
  const client = await a.connect(`stream=${stream}`);
  for (const [id, content] of Object.entries(asks)) client.ask(content, { id });
  await settle();
  return { workers, a, b, client };
}

/**
 * Like {@linkcode startTwoWorkers}, with a second client of the session on `b`, connected from the start. By default
 * the clients get no deltas.
 */
export async function startTwoClients(
  options: TwoWorkersOptions = {},
): Promise<TwoWorkers & { other: TestClient }> {
  const { stream = false } = options;
  const two = await startTwoWorkers({ ...options, stream });
  const other = await two.b.connect(`stream=${stream}&${two.client.resumeQuery(0)}`);
  return { ...two, other };
}

/** Resumes the session of a client that has lost its worker. */
export async function resumeAt(
  worker: TestWorker,
  client: TestClient,
  lastSeq: number = Math.max(0, ...client.seqs),
): Promise<TestClient> {
  return await worker.connect(`stream=true&${client.resumeQuery(lastSeq)}`);
}

/** Moves the clock in steps, so that a slow store's requests and answers arrive in between. */
export async function inSteps(workers: Workers, ms: number): Promise<void> {
  const stepMs = Math.max(10, Math.ceil(ms / 50));
  for (let passedMs = 0; passedMs < ms; passedMs += stepMs) {
    await workers.pass(Math.min(stepMs, ms - passedMs));
  }
}
