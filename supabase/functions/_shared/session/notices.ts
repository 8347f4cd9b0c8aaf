/** Notifications from other functions, brought to the sessions of this worker. */

import type { Clock, Log, WorkerLifetime } from "../ports/runtime.ts";
import type { NotificationEvent } from "../protocol/log_event.ts";
import { renderNotification } from "../protocol/render.ts";
import type { SessionRegistry } from "./registry.ts";
import type { Session } from "./session.ts";

export interface NoticesOptions {
  registry: SessionRegistry;
  clock: Clock;
  log: Log;
  lifetime: WorkerLifetime;
}

export class Notices {
  readonly #options: NoticesOptions;

  constructor(options: NoticesOptions) {
    this.#options = options;
  }

  /** Puts it in the log of a session, and so before everyone who holds it, if this worker has the session. */
  toSession(sessionId: string, notification: NotificationEvent): void {
    const session = this.#options.registry.get(sessionId);
    if (session !== undefined) this.#commit(session, notification);
  }

  /** The same for every session of a user here. */
  toUser(userId: string, notification: NotificationEvent): void {
    for (const session of this.#options.registry.values()) {
      const { owner } = session.record;
      if (owner.kind === "user" && owner.userId === userId) this.#commit(session, notification);
    }
  }

  /** Shows it to every connection that is live. It is in nobody's log. */
  toEveryone(notification: NotificationEvent): void {
    const frame = renderNotification(notification, this.#options.clock.now());
    for (const session of this.#options.registry.values()) session.broadcast(frame);
  }

  #commit(session: Session, notification: NotificationEvent): void {
    const { lifetime, log } = this.#options;
    const { sessionId } = session.record;
    lifetime.hold(
      session.notify(notification).catch((error) => {
        log.write({ level: "error", event: "commit_failed", session_id: sessionId, error });
      }),
    );
  }
}
