/** Sends notifications on their way: whose they may be, once each, over the relay. */

import { ACTIVITY_MESSAGES } from "../activity/relayed_activity.ts";
import { AgentError } from "../errors.ts";
import type { Clock, Ids, Log, Relay } from "../ports.ts";
import type { NotificationEvent } from "../protocol/log_event.ts";
import type { NotifyRequest } from "../protocol/notify_request.ts";
import { NOTIFICATION_MESSAGE, type RelayedNotification } from "./relayed.ts";
import { SentIds } from "./sent_ids.ts";

/** Who posts: another function with a secret key, or a user. */
export type Caller = { kind: "service" } | { kind: "user"; userId: string };

export interface NotifierOptions {
  clock: Clock;
  ids: Ids;
  log: Log;
  relay: Pick<Relay, "publish">;
  /** The relay's topic of a session, and that of everything that is not one session's. */
  topicOf(sessionId: string): string;
  everyoneTopic: string;
}

/** What the caller is told. */
export interface Sent {
  id: string;
  /** Whether it is kept for those who are offline. */
  durable: false;
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
   * Rejects with `forbidden` (somebody else's, or not a user's to send to), `id_conflict`, `relay_unavailable`; then nothing was sent.
   */
  async send(request: NotifyRequest, caller: Caller): Promise<Sent> {
    checkCaller(request, caller);
    const { ids, relay, log } = this.#options;
    const id = request.id ?? ids.uuid();
    const content = JSON.stringify(request);
    if (request.id !== undefined && this.#sent.has(id, content)) {
      return { id, durable: false, repeated: true };
    }
    const { topic, event, payload } = this.#letter(request, id);
    await relay.publish(topic, { event, payload });
    if (request.id !== undefined) this.#sent.add(id, content);
    log.write({ level: "info", event: "notification_sent", kind: event, caller: caller.kind });
    return { id, durable: false };
  }

  #letter(request: NotifyRequest, id: string): { topic: string; event: string; payload: unknown } {
    const { topicOf, everyoneTopic } = this.#options;
    if ("activity" in request) {
      return {
        topic: everyoneTopic,
        event: ACTIVITY_MESSAGES.events,
        payload: { from: id, ...request.activity },
      };
    }
    const { target, message, source } = request;
    const { type, content, ...optional } = message;
    const notification: NotificationEvent = {
      kind: "notification",
      notificationId: id,
      type,
      content,
      ...("code" in optional && optional.code !== undefined && { code: optional.code }),
      ...("data" in optional && optional.data !== undefined && { data: optional.data }),
      ...(source !== undefined && { source }),
    };
    const payload: RelayedNotification = { target, notification };
    const topic = target.kind === "session" ? topicOf(target.sessionId) : everyoneTopic;
    return { topic, event: NOTIFICATION_MESSAGE, payload };
  }
}

/** With the memory store nobody can tell from here whose a session is, so a user may name only herself. */
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
