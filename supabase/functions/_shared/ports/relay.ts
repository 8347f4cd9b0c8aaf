/** Messages between the workers of a project. */

/** A message from another worker, or from another function. */
export interface RelayMessage {
  /** Its name. `relay_batch` is taken. */
  event: string;
  /** A JSON object that is not changed any more. Not validated on arrival. */
  payload: unknown;
}

/**
 * The state of listening. `ok`: every topic with listeners is joined; `connecting`: not yet, or not any more; `idle`: none.
 * Sending does not depend on it.
 */
export type RelayStatus = "ok" | "connecting" | "idle";

/**
 * Carries messages between the workers of a project: best effort, without replay. Within a topic a message
 * comes after those that `publish` had resolved for when it was called; else in any order.
 */
export interface Relay {
  /** For `/health`, and for honest answers to callers. */
  readonly status: RelayStatus;
  /**
   * Joins a topic for as long as it has listeners, and delivers all messages published there, those of this worker too.
   * Returns a function that removes this listener; calling it again does nothing. Never throws; a closed relay does nothing.
   */
  subscribe(topic: string, listener: RelayListener): () => void;
  /**
   * Resolves when the message was accepted, which does not prove delivery. Rejects with an {@linkcode AgentError}
   * `relay_unavailable` (retryable) if it was not, or no answer came; with `message_too_large` above 250,000 bytes; with
   * a `TypeError` if the payload is not an object.
   */
  publish(topic: string, message: RelayMessage): Promise<void>;
  /** Leaves all topics, and resolves when the messages under way have been sent or have failed. */
  close(): Promise<void>;
}

/** The message rate of the whole project as the relay's server reports it, with an answer or a refusal. */
export interface RelayPressure {
  /** Whether it refused the message, or closed channels, because there are too many messages. */
  isRefused: boolean;
  /** How long it asks clients to wait, in milliseconds. */
  retryAfterMs?: number;
  /** Messages a second, on its own average, and how many there may be. */
  rate?: { perSecond: number; limit: number };
}

/** A listener of a topic. Neither function may throw. */
export interface RelayListener {
  onMessage(message: RelayMessage): void;
  /**
   * Messages may have been missed until now: the topic has just been joined, for the first time since this listener came
   * or again after a failure. A listener of a topic that is already joined has missed nothing.
   */
  onGap?(): void;
}
