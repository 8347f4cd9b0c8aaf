/**
 * The relay's topics, and the names of its messages.
 *
 * Realtime allows 100 channels a connection and, on the smallest plan, 100 joins a second: a channel per session cannot
 * scale. So the sessions share a few topics, and every worker and function of a project must use the same number.
 */

/** Default number of topics that the sessions share. */
export const DEFAULT_RELAY_SHARDS = 8;

/** One less than Realtime's channels per connection: the last is {@linkcode EVERYONE_TOPIC}. */
export const MAX_RELAY_SHARDS = 99;

/** Prefix of every topic. The migration of the relay's policies has the same prefix. */
export const RELAY_PREFIX = "agent_websocket:";

/** Topic of messages that are not for one session: notifications to a user or to everyone, and activity. */
export const EVERYONE_TOPIC = `${RELAY_PREFIX}all`;

/** Names of the messages on the topics. */
export const RELAY_MESSAGES = {
  notification: "notification",
  sessionCall: "session_call",
  activity: "activity",
  activityWatched: "activity_watched",
  /** Asks watched workers to announce that they are watched, because a new worker now listens. */
  activityAsked: "activity_asked",
} as const;

const FNV_OFFSET_BASIS = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/** The topic of a session's messages: `agent_websocket:0` … `agent_websocket:<shards - 1>`. */
export function sessionTopic(sessionId: string, shards: number = DEFAULT_RELAY_SHARDS): string {
  return `${RELAY_PREFIX}${fnv1a(sessionId) % shards}`;
}

/**
 * FNV-1a in 32 bits (http://www.isthe.com/chongo/tech/comp/fnv, "FNV-1a alternate algorithm"), over UTF-16 units, which
 * for ASCII are the bytes. Five lines instead of a package that nothing else in a deployed function would use.
 */
export function fnv1a(text: string): number {
  let hash = FNV_OFFSET_BASIS;
  for (let index = 0; index < text.length; index++) {
    hash = Math.imul(hash ^ text.charCodeAt(index), FNV_PRIME);
  }
  // Bitwise operators of JavaScript are signed.
  return hash >>> 0;
}
