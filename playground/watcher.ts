/** The connection to the live activity: subscribes, and reconnects by itself. */

import { ACTIVITY_TYPES, type ActivityEvent, type ActivityType, readEvents } from "./activity_events.ts";

/** How long events are collected into a batch, so that a busy agent costs the page few renders. */
const BATCH_MS = 100;
const FIRST_RETRY_MS = 500;
const MAX_RETRY_MS = 10_000;

export type WatchStatus = "connecting" | "watching" | "refused";

export interface WatcherOptions {
  url: string;
  /** The token for admission; undefined if none is needed. Rejects if none is available. */
  token(): Promise<string | undefined>;
  types(): ActivityType[];
  onStatus(status: WatchStatus, why?: string): void;
  onEvents(events: ActivityEvent[]): void;
}

export class Watcher {
  readonly #options: WatcherOptions;
  #socket: WebSocket | undefined;
  #failures = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: WatcherOptions) {
    this.#options = options;
    addEventListener("online", () => this.restart());
  }

  /** Reconnects as the current user. */
  restart(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.close(1000);
    this.#failures = 0;
    void this.#open();
  }

  /** An empty list of types would subscribe to every type. So nothing is sent then, and the page shows no events. */
  setType(type: ActivityType, isWanted: boolean): void {
    if (!isWanted && this.#options.types().length === 0) return;
    this.#send({ action: isWanted ? "subscribe" : "unsubscribe", types: [type] });
    // The last type that was deselected is still subscribed to.
    if (isWanted) this.#send({ action: "unsubscribe", types: others(this.#options.types()) });
  }

  async #open(): Promise<void> {
    const { url, token, onStatus, onEvents, types } = this.#options;
    onStatus("connecting");
    const attempt = this.#timer = setTimeout(() => {}, 0);
    const credential = await token().catch((error: unknown) => {
      onStatus("refused", error instanceof Error ? error.message : String(error));
      return null;
    });
    if (credential === null || this.#timer !== attempt) return;
    const socket = this.#socket = new WebSocket(url, [
      "agent-websocket.v1",
      ...(credential ? [`jwt-${credential}`] : []),
    ]);
    socket.onopen = (): void => {
      this.#send({ action: "subscribe", types: types(), batch_ms: BATCH_MS });
    };
    socket.onmessage = ({ data }: MessageEvent<string>): void => {
      if (socket !== this.#socket) return;
      if (data.includes('"connection_established"')) {
        this.#failures = 0;
        onStatus("watching");
      } else onEvents(readEvents(data).filter(({ type }) => types().includes(type)));
    };
    socket.onclose = ({ code, reason }): void => {
      if (socket !== this.#socket) return;
      this.#socket = undefined;
      this.#failures++;
      // An expired pass is replaced with a new one; a second refusal is final.
      if (code === 4001 && this.#failures > 1) return onStatus("refused", reason);
      onStatus("connecting");
      const delayMs = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** (this.#failures - 1)) *
        (0.5 + Math.random() / 2);
      this.#timer = setTimeout(() => void this.#open(), delayMs);
    };
  }

  #send(action: Readonly<Record<string, unknown>>): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(action));
  }
}

function others(wanted: readonly ActivityType[]): ActivityType[] {
  return ACTIVITY_TYPES.filter((type) => !wanted.includes(type));
}
