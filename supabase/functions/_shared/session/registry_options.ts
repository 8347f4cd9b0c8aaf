/** What the registry of sessions is given, and what it gives back. */

import type { ConversationStore } from "../ports/conversation_store.ts";
import type { SessionStore } from "../ports/session_store.ts";
import type { Resumed } from "./resume.ts";
import type { Session } from "./session.ts";
import type { SessionDeps } from "./session_options.ts";

export interface RegistryOptions {
  store: SessionStore & ConversationStore;
  /** Whether sessions outlive the worker: then a session that is dropped from memory is still in the store. */
  isDurable(sessionId: string): boolean;
  /** Settles when that is known. */
  ready?(): Promise<void>;
  /** Deletes expired sessions from the store: at each sweep, while there are durable sessions. */
  prune?(): Promise<unknown>;
  session: SessionDeps;
  /** Milliseconds without a message after which a session ends; 0 for never. */
  idleTimeoutMs: number;
  /** How often idle sessions are looked for. */
  sweepIntervalMs: number;
  /** Sessions kept in memory; 0 for any number. */
  maxSessions: number;
  /** Called when this worker holds a session, and when it no longer does. */
  onOpened?(sessionId: string): void;
  onClosed?(sessionId: string): void;
}

export interface OpenedSession {
  session: Session;
  /** The resume token of an anonymous session. */
  resumeToken: string | undefined;
  /** Undefined if no resume was requested. */
  resumed: Resumed | undefined;
}

/** Receives the opened session, synchronously, so that it cannot be removed in between. */
export type EnterSession = (opened: OpenedSession) => void;

export interface Opening {
  /** Called before a new session is created; throws to refuse it. */
  beforeCreate?(): void;
  /** The agent of a new session. Default: the default one. */
  agent?: string | undefined;
  enter: EnterSession;
}
