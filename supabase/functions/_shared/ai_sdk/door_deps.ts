/** What the sockets of the AI SDK need. */

import type { BytePool } from "../guard/byte_pool.ts";
import type { IdentityPolicy } from "../guard/identity.ts";
import type { MemoryBudget } from "../guard/memory_budget.ts";
import type { RateLimiter } from "../guard/rate_limiter.ts";
import type { Metrics } from "../metrics.ts";
import type { Clock, Ids, Log } from "../ports/runtime.ts";
import type { AgentServer } from "../session/agent_server.ts";

export interface DoorDeps {
  clock: Clock;
  ids: Ids;
  log: Log;
  metrics: Metrics;
  memory: MemoryBudget;
  /** Frames that wait until it is known who sends them. */
  waiting: BytePool;
  rateLimiter: RateLimiter;
  identity: IdentityPolicy;
  server: Pick<AgentServer, "connect" | "carriers">;
  /** The largest frame of a page, which has its messages, in bytes. */
  maxFrameBytes: number;
  /** The largest question, in bytes. */
  maxMessageBytes: number;
  maxBufferedBytes: number;
  /** How long it may take until it is known who the user is, in milliseconds. */
  authTimeoutMs: number;
  /** How long a socket may be without a conversation, in milliseconds; 0 for ever. */
  idleTimeoutMs: number;
}

/** The parameters of one upgrade. */
export interface DoorRequest {
  token: string | undefined;
  resumeToken: string | undefined;
  origin: string | undefined;
  /** The key of its limits until the user is known. */
  address: string;
  /** Which of the deployment's agents new conversations have; undefined for the default one. */
  agent: string | undefined;
}
