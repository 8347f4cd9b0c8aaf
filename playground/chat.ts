/** The client of the open session, and the switch to another session. */

import { AgentClient, type AgentClientOptions, type ClientEvents } from "../client/tools.ts";
import { loadCursor, saveCursor } from "../client/cursor.ts";

const STORAGE_KEY = "agent-websocket";

export interface ChatOptions extends Pick<AgentClientOptions, "WebSocket" | "wake" | "getToken"> {
  url: string;
  /** Whether connecting makes sense: a stack that accepts only signed-in users refuses others after seconds. */
  isWelcome(): boolean;
  /** Called with a new client, before it connects, and with the id of the session that it resumes. */
  onClient(client: AgentClient, sessionId: string | undefined): void;
}

export class Chat {
  readonly #options: ChatOptions;
  #client: AgentClient | undefined;

  constructor(options: ChatOptions) {
    this.#options = options;
    acceptInvitation();
  }

  get client(): AgentClient {
    return this.#client ??= this.#create();
  }

  /** The token with which another tab can join an anonymous session. */
  get resumeToken(): string | undefined {
    return loadCursor(sessionStorage, STORAGE_KEY)?.resumeToken;
  }

  /** Connects as the signed-in user: resumes this tab's earlier session if it belongs to them. */
  start(): void {
    this.#client?.close();
    this.#client = this.#create();
    if (!this.#options.isWelcome()) return;
    this.#client.connect().catch(() => {
      // The `close` event has reported it.
    });
  }

  /** Leaves the session and begins a new one. */
  begin(): void {
    this.#client?.close({ forget: true });
    saveCursor(sessionStorage, STORAGE_KEY, undefined);
    this.start();
  }

  /** Switches to another session of the same user, or to an anonymous one with its resume token. */
  open(sessionId: string, resumeToken?: string): void {
    const owner = loadCursor(sessionStorage, STORAGE_KEY)?.owner ?? "";
    this.#client?.close({ forget: true });
    saveCursor(sessionStorage, STORAGE_KEY, {
      sessionId,
      ...(resumeToken !== undefined && { resumeToken }),
      owner,
      lastSeq: 0,
      pending: [],
    });
    this.start();
  }

  #create(): AgentClient {
    const { url, WebSocket, wake, getToken, onClient } = this.#options;
    const stored = loadCursor(sessionStorage, STORAGE_KEY);
    const client = new AgentClient(url, {
      ...(WebSocket && { WebSocket }),
      ...(wake && { wake }),
      ...(getToken && { getToken }),
      reasoning: true,
      storage: sessionStorage,
      storageKey: STORAGE_KEY,
      // After a reload, the page shows the whole conversation.
      replay: "all",
    });
    onClient(client, stored?.sessionId);
    return client;
  }
}

/** Adds several listeners at once. */
export function listen(
  client: AgentClient,
  listeners: { [Name in keyof ClientEvents]: (payload: ClientEvents[Name]) => void },
): void {
  client.on("open", listeners.open);
  client.on("reconnected", listeners.reconnected);
  client.on("message", listeners.message);
  client.on("notification", listeners.notification);
  client.on("turn", listeners.turn);
  client.on("call", listeners.call);
  client.on("reconnecting", listeners.reconnecting);
  client.on("close", listeners.close);
  client.on("error", listeners.error);
}

/**
 * Reads `#session=…&resume_token=…`, which another tab of this page created. A fragment is never sent to the server,
 * and it is removed from the address here.
 */
function acceptInvitation(): void {
  const invitation = new URLSearchParams(location.hash.slice(1));
  const sessionId = invitation.get("session");
  if (!sessionId) return;
  const resumeToken = invitation.get("resume_token");
  saveCursor(sessionStorage, STORAGE_KEY, {
    sessionId,
    ...(resumeToken !== null && { resumeToken }),
    owner: "",
    lastSeq: 0,
    pending: [],
  });
  history.replaceState(null, "", location.pathname);
}
