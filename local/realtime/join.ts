/** Who may join which channel: the checks of a join, in the real server's order. */

import type { Clock } from "../../supabase/functions/_shared/ports/runtime.ts";
import { isRecord } from "./frames.ts";
import { type Hub, type Room, TOPIC_PREFIX } from "./hub.ts";
import type { Policy } from "./policy.ts";
import type { RateMeter } from "./rate_meter.ts";
import { isOver, type RealtimeDelays, type RealtimeLimits } from "./settings.ts";
import { type Claims, isApiKey, type Tokens } from "./tokens.ts";
import { joinWords, notReadable } from "./words.ts";

/** What all connections share. */
export interface Context {
  tokens: Tokens;
  hub: Hub;
  /** The joins of all connections. */
  joins: RateMeter;
  policy: Policy;
  privateOnly: boolean;
  limits: RealtimeLimits;
  delays: RealtimeDelays;
  clock: Clock;
  onError(error: unknown): void;
}

/** What a client asked for. */
export interface JoinRequest {
  room: Room;
  /** Whether the client wants its own broadcasts back. */
  self: boolean;
  /** Whether the client wants its broadcasts acknowledged. */
  ack: boolean;
  presence: boolean;
  accessToken: string | undefined;
}

export type Admission =
  | { token: string; claims: Claims }
  /** `disconnect`: the connection is closed too. */
  | { reason: string; disconnect?: true };

/** Reads the known fields: a field with a wrong type counts as missing. */
export function readJoin(topic: string, payload: unknown): JoinRequest {
  const { config, access_token: accessToken, user_token: userToken } = isRecord(payload) ? payload : {};
  const { broadcast, presence, private: isPrivate } = isRecord(config) ? config : {};
  const { self, ack } = isRecord(broadcast) ? broadcast : {};
  const { enabled } = isRecord(presence) ? presence : {};
  const token = accessToken ?? userToken;
  return {
    room: { topic: topic.slice(TOPIC_PREFIX.length), private: isPrivate === true },
    self: self === true,
    ack: ack === true,
    presence: enabled === true,
    accessToken: typeof token === "string" ? token : undefined,
  };
}

export interface Joining {
  request: JoinRequest;
  /** The JWT of the connection: used if the join has none. */
  connectionToken: string;
  /** The number of channels of the connection. */
  channels: number;
}

export async function admit(
  { request, connectionToken, channels }: Joining,
  context: Context,
): Promise<Admission> {
  const { limits, joins, tokens, policy } = context;
  const { room, accessToken } = request;
  if (room.topic === "") return { reason: "TopicNameRequired: You must provide a topic name" };
  if (context.privateOnly && !room.private) {
    return { reason: "PrivateOnly: This project only allows private channels" };
  }
  joins.add();
  if (isOver(joins.perSecond(), limits.joinsPerSecond)) {
    return { reason: "ClientJoinRateLimitReached: Too many joins per second", disconnect: true };
  }
  if (isOver(channels + 1, limits.channelsPerConnection)) {
    return { reason: "ChannelRateLimitReached: Too many channels" };
  }
  const token = accessToken === undefined || isApiKey(accessToken) ? connectionToken : accessToken;
  const verdict = await tokens.verify(token);
  if (verdict.problem !== undefined) return { reason: joinWords(verdict.problem) };
  const { claims } = verdict;
  if (room.private && !policy({ topic: room.topic, claims, action: "read" })) {
    return { reason: `Unauthorized: ${notReadable(room.topic)}` };
  }
  return { token, claims };
}
