/** Counts the calls to the project by kind, with their duration. */

export interface CallCount {
  calls: number;
  /** The total time until the answers were ready, in milliseconds. */
  ms: number;
}

export type Counts = Readonly<Record<string, CallCount>>;

const COMMIT = "agent_commit";
const RELAY_PATH = "/realtime/v1/api/broadcast";
const SOCKET_PATH = "/realtime/v1/websocket";

export class CallCounts {
  #counts: Record<string, CallCount> = {};

  /** The counts since the last call. */
  take(): Counts {
    const counts = this.#counts;
    this.#counts = {};
    return counts;
  }

  async time(path: string, request: Request, answer: () => Promise<Response>): Promise<Response> {
    if (path === SOCKET_PATH) return await answer();
    const label = await labelOf(path, request);
    const startedAt = performance.now();
    const response = await answer();
    const count = this.#counts[label] ??= { calls: 0, ms: 0 };
    count.calls++;
    count.ms += performance.now() - startedAt;
    return response;
  }
}

/** A commit is named by the kinds of all its writes: `commit: checkpoint`, `commit: checkpoint+end`. */
async function labelOf(path: string, request: Request): Promise<string> {
  if (path.startsWith(RELAY_PATH)) return "relay";
  const name = path.slice(path.lastIndexOf("/") + 1);
  if (name !== COMMIT) return name;
  const { p_writes } = await request.clone().json();
  return `commit: ${[...new Set((p_writes as Write[]).map(kindOf))].sort().join("+")}`;
}

interface Write {
  events?: readonly { kind: string }[];
  lease?: "claim" | "release";
  checkpoint?: object;
}

function kindOf({ events = [], lease, checkpoint }: Write): string {
  const [event] = events;
  if (event !== undefined) return event.kind === "query" ? "query" : "end";
  return checkpoint !== undefined ? "checkpoint" : lease ?? "other";
}
