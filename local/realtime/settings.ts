/** The settings of the local Realtime. The defaults are those of a real project. */

import type { Clock } from "../../supabase/functions/_shared/ports/runtime.ts";
import type { SigningKey } from "../keys.ts";
import type { Policy } from "./policy.ts";

/** 0 switches a limit off. */
export interface RealtimeLimits {
  /** Open WebSockets at a time. Default: 200. */
  connections: number;
  /** Joins of all connections, by the last second. Default: 100. */
  joinsPerSecond: number;
  /** Channels of one connection. Default: 100. */
  channelsPerConnection: number;
  /** Messages in and deliveries out, on the average of a minute; see `message_rate.ts`. Default: 100. */
  eventsPerSecond: number;
  /** Payload of a broadcast. Default: 3,000,000. */
  payloadBytes: number;
  /** One frame of a client. Default: 5,000,000. */
  frameBytes: number;
  /** Body of an HTTP request. Default: 8,000,000. */
  bodyBytes: number;
  /** What may wait for one connection, each way, before it is closed. Default: 50,000,000. */
  heldBytes: number;
}

/** The real server answers mistakes late, so that those who repeat them do so slowly. */
export interface RealtimeDelays {
  /** Before a refused join is answered; the whole connection waits. Default: 5000. */
  joinErrorMs: number;
  /** Before a refused handshake is answered. Default: 2000. */
  handshakeErrorMs: number;
}

export interface RealtimeKeys {
  publishableKey: string;
  secretKey: string;
  /** The JWTs that the platform's gateway substitutes for these two keys. */
  anonKey: string;
  serviceRoleKey: string;
  /** Verifies HS256 tokens. */
  jwtSecret: string;
}

export interface RealtimeOptions {
  keys: RealtimeKeys;
  /** The keys that verify tokens with a `kid`, asked for each time. Default: none. */
  publicKeys?: () => Promise<readonly Pick<SigningKey, "kid" | "alg" | "publicKey">[]>;
  /** Who may do what on private topics, by the project's own policies. Default: the service role everything, others nothing. */
  policy?: Policy;
  /** Whether the migration that keeps the relay's topics for the service role is applied. Default: true. */
  isRelayClosed?: boolean;
  /** Whether public topics cannot be joined. Default: false. */
  privateOnly?: boolean;
  limits?: Partial<RealtimeLimits>;
  delays?: Partial<RealtimeDelays>;
  /** Default: the system's. */
  clock?: Clock;
  /** A mistake of ours, or of the policy, which has cost one connection. Default: ignored. */
  onError?(error: unknown): void;
}

export const DEFAULT_LIMITS: RealtimeLimits = {
  connections: 200,
  joinsPerSecond: 100,
  channelsPerConnection: 100,
  eventsPerSecond: 100,
  payloadBytes: 3_000_000,
  frameBytes: 5_000_000,
  bodyBytes: 8_000_000,
  heldBytes: 50_000_000,
};

export const DEFAULT_DELAYS: RealtimeDelays = { joinErrorMs: 5000, handshakeErrorMs: 2000 };

/** Whether `count` is more than `limit` lets through. */
export function isOver(count: number, limit: number): boolean {
  return limit > 0 && count > limit;
}
