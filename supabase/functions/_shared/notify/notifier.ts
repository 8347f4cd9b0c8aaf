/**
 * Sends notifications on their way: whose they may be, and each once.
 *
 * With a durable store a notification for a session or a user is appended to the logs, and the workers get a doorbell. All else
 * travels over the relay itself, to the clients that are connected.
 */

import { AgentError, toAgentError } from "../errors.ts";
import { sha256Hex } from "../guard/digest.ts";
import type { NotificationStore } from "../ports/notifications.ts";
import type { Relay } from "../ports/relay.ts";
import type { Clock, Ids, Log } from "../ports/runtime.ts";
import type { NotificationEvent } from "../protocol/log_event.ts";
import type { NotifyRequest, NotifyTarget } from "../protocol/notify_request.ts";
import type { SessionCall } from "../protocol/session_call.ts";
import { RELAY_MESSAGES } from "../protocol/topics.ts";
import { fingerprintOf } from "./fingerprint.ts";
import type { RelayedNotification } from "./relayed.ts";
import { SentIds } from "./sent_ids.ts";

/** Who posts: another function with a secret key, or a user. */
export type Caller = { kind: "service" } | { kind: "user"; userId: string };

export interface NotifierOptions {
  clock: Clock;
  ids: Ids;
  log: Log;
  relay: Pick<Relay, "publish">;
  /** Where notifications are kept; undefined where they are not. Rejects where that cannot be known. */
  store(): Promise<NotificationStore | undefined>;
  /** Rings the workers that hold a session. */
  call(sessionId: string, call: SessionCall): void;
  /** The relay's topic of a session, and that of everything that is not one session's. */
  topicOf(sessionId: string): string;
  everyoneTopic: string;
}

/** The answer to the caller. */
export interface Sent {
  id: string;
  /** Whether it is kept for those who are offline. */
  durable: boolean;
  /** Into how many sessions' logs it was put, where it is durable. */
  sessions?: number;
  /** Whether the same was sent before, and so not again. */
  repeated?: true;
}

export class Notifier {
  readonly #options: NotifierOptions;
  readonly #sent: SentIds;

  constructor(options: NotifierOptions) {
    this.#options = options;
    this.#sent = new SentIds(options.clock);
  }

  /**
   * Rejects with `forbidden` (another user's target, or one not open to users), `unknown_session`, `id_conflict`; then nothing
   * was sent. Rejects with `relay_unavailable`, `store_unavailable` (retryable) where it may have been sent or may still
   * be: its `data.id` is what makes another attempt harmless.
   */
  async send(request: NotifyRequest, caller: Caller): Promise<Sent> {
    const id = request.id ?? this.#options.ids.uuid();
    try {
      return await this.#send(request, { id, caller });
    } catch (thrown) {
      throw withId(toAgentError(thrown), id);
    }
  }

  async #send(request: NotifyRequest, { id, caller }: { id: string; caller: Caller }): Promise<Sent> {
    if (!("activity" in request) && request.target.kind !== "broadcast") {
      const store = await this.#options.store();
      if (store !== undefined) return await this.#keep(store, request, { id, caller });
    }
    checkCaller(request, caller);
    return await this.#relay(request, { id, caller });
  }

  /** Appends it to the logs, and rings the workers that hold them. */
  async #keep(
    store: NotificationStore,
    request: Extract<NotifyRequest, { target: NotifyTarget }>,
    { id, caller }: { id: string; caller: Caller },
  ): Promise<Sent> {
    const { target } = request;
    if (target.kind === "user") checkCaller(request, caller);
    if (target.kind === "broadcast") {
      throw new TypeError("Cannot keep a broadcast: it is for whoever is there");
    }
    const { sessions, repeated } = await store.deliver({
      id,
      caller: caller.kind === "user" ? caller.userId : undefined,
      target,
      notification: toEvent(request, id),
      fingerprint: await sha256Hex(fingerprintOf(request, id)),
    });
    for (const { sessionId, seq } of sessions) this.#options.call(sessionId, { kind: "appended", seq });
    this.#sentTo(target.kind, caller, sessions.length);
    const sent = { id, durable: true, sessions: sessions.length };
    return repeated ? { ...sent, repeated } : sent;
  }

  async #relay(request: NotifyRequest, { id, caller }: { id: string; caller: Caller }): Promise<Sent> {
    const { relay } = this.#options;
    const { topic, event, payload } = this.#letter(request, id);
    const publish = (): Promise<void> => relay.publish(topic, { event, payload });
    if (request.id === undefined) await publish();
    else {
      const fingerprint = await sha256Hex(fingerprintOf(request, id));
      if (await this.#sent.once(id, fingerprint, publish)) return { id, durable: false, repeated: true };
    }
    this.#sentTo("activity" in request ? "activity" : request.target.kind, caller);
    return { id, durable: false };
  }

  #sentTo(target: string, caller: Caller, sessions?: number): void {
    this.#options.log.write({
      level: "info",
      event: "notification_sent",
      target,
      caller: caller.kind,
      ...(sessions !== undefined && { sessions }),
    });
  }

  #letter(request: NotifyRequest, id: string): { topic: string; event: string; payload: unknown } {
    const { topicOf, everyoneTopic } = this.#options;
    if ("activity" in request) {
      return {
        topic: everyoneTopic,
        event: RELAY_MESSAGES.activity,
        payload: { from: id, ...request.activity },
      };
    }
    const { target } = request;
    const payload: RelayedNotification = { target, notification: toEvent(request, id) };
    const topic = target.kind === "session" ? topicOf(target.sessionId) : everyoneTopic;
    return { topic, event: RELAY_MESSAGES.notification, payload };
  }
}

/** An error after which the same may be sent again, with the id to send it under. */
function withId(error: AgentError, id: string): AgentError {
  const { code, message, retryable, retryAfterMs, cause } = error;
  if (!retryable) return error;
  return new AgentError(code, message, {
    retryable,
    cause,
    data: { ...error.data, id },
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  });
}

function toEvent(
  { message, source }: Extract<NotifyRequest, { target: NotifyTarget }>,
  id: string,
): NotificationEvent {
  const { type, content, ...optional } = message;
  return {
    kind: "notification",
    notificationId: id,
    type,
    content,
    ...("code" in optional && optional.code !== undefined && { code: optional.code }),
    ...("data" in optional && optional.data !== undefined && { data: optional.data }),
    ...(source !== undefined && { source }),
  };
}

/** With the memory store this function does not know the owner of a session, so users may name only themselves. */
function checkCaller(request: NotifyRequest, caller: Caller): void {
  if (caller.kind === "service") return;
  if ("activity" in request) {
    throw new AgentError("forbidden", "Cannot publish activity: a secret key is needed");
  }
  const { target } = request;
  if (target.kind === "user" && target.userId === caller.userId) return;
  const what = { session: "a session", user: "somebody else", broadcast: "everyone" }[target.kind];
  throw new AgentError(
    "forbidden",
    `Cannot notify ${what}: a user may name only her own user_id, or send a secret key`,
  );
}
