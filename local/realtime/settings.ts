/** The settings of the local Realtime. The defaults are those of a real project. */

import type { Clock } from "../../supabase/functions/_shared/ports/runtime.ts";
import type { SigningKey } from "../keys.ts";
import type { Policy } from "./policy.ts";

/** 0 switches a limit off. */
export interface RealtimeLimits {
  /** Concurrent open WebSockets. Default: 200. */
  connections: number;
  /** Joins of all connections in the last second. Default: 100. */
  joinsPerSecond: number;
  /** Channels of one connection. Default: 100. */
  channelsPerConnection: number;
  /** Messages in and deliveries out per second, averaged over a minute; see `message_rate.ts`. Default: 100. */
  eventsPerSecond: number;
  /** Payload of a broadcast, in bytes. Default: 3,000,000. */
  payloadBytes: number;
  /** One frame of a client, in bytes. Default: 5,000,000. */
  frameBytes: number;
  /** Body of an HTTP request, in bytes. Default: 8,000,000. */
  bodyBytes: number;
  /** Bytes that may wait for one connection, in each direction, before it is closed. Default: 50,000,000. */
  heldBytes: number;
}

/** The real server delays its answers to errors, to slow down clients that repeat them. */
export interface RealtimeDelays {
  /** The delay before a refused join is answered; the whole connection waits. Default: 5000. */
  joinErrorMs: number;
  /** The delay before a refused handshake is answered. Default: 2000. */
  handshakeErrorMs: number;
}

export interface RealtimeKeys {
  publishableKey: string;
  secretKey: string;
  /** The JWTs that the platform's gateway substitutes for the two keys above. */
  anonKey: string;
  serviceRoleKey: string;
  /** Verifies HS256 tokens. */
  jwtSecret: string;
}

export interface RealtimeOptions {
  keys: RealtimeKeys;
  /** The keys that verify tokens with a `kid`. Called for each such token. Default: none. */
  publicKeys?: () => Promise<readonly Pick<SigningKey, "kid" | "alg" | "publicKey">[]>;
  /** The project's own policies for private topics. Default: the service role may do everything, others nothing. */
  policy?: Policy;
  /** Whether the migration is applied that reserves the relay's topics for the service role. Default: true. */
  isRelayClosed?: boolean;
  /** Whether joining public topics is refused. Default: false. */
  privateOnly?: boolean;
  limits?: Partial<RealtimeLimits>;
  delays?: Partial<RealtimeDelays>;
  /** Default: the system's clock. */
  clock?: Clock;
  /** Called for a bug in this code or in the policy, which has cost one connection. Default: ignored. */
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

/** Whether `count` exceeds `limit`. */
export function isOver(count: number, limit: number): boolean {
  return limit > 0 && count > limit;
}
