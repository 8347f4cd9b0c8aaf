/** Fake sockets and a fake server for unit tests of the client, controlled by the test. Nothing leaves the process. */

import assert from "node:assert/strict";
import { AgentClient } from "../../client/client.ts";
import { ToolClient, type ToolClientOptions } from "../../client/tool_client.ts";
import type { AgentClientOptions, ClientEvents } from "../../client/options.ts";
import type { CursorStorage, SocketLike, WakeSource } from "../../client/ports.ts";
import { ManualClock, settle } from "./manual_clock.ts";

type Fields = Readonly<Record<string, unknown>>;

/** Any frame that the client sent. */
export type SentFrame = { readonly [field: string]: unknown; type: string; id: string; content: string };

const LIMITS = { max_message_bytes: 65_536, max_queue: 20 };

/** The server's end of one socket that the client opened. */
export class ScriptedSocket implements SocketLike {
  onopen: ((event: never) => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  onerror: ((event: never) => void) | null = null;
  readonly url: URL;
  readonly protocols: readonly string[];
  readonly sent: SentFrame[] = [];
  /** Whether `ping` is answered at once. */
  answersPings = false;
  /** The code with which the client closed it. */
  closedWith: number | undefined;

  constructor(url: string, protocols: readonly string[]) {
    this.url = new URL(url);
    this.protocols = protocols;
  }

  send(text: string): void {
    const frame: SentFrame = JSON.parse(text);
    this.sent.push(frame);
    if (this.answersPings && frame.content === "ping") this.status("pong", frame.id);
  }

  close(code?: number): void {
    this.closedWith ??= code;
  }

  /** Sends a frame to the client, or raw text. */
  say(frame: Fields | string): void {
    this.onmessage?.({ data: typeof frame === "string" ? frame : JSON.stringify(frame) });
  }

  welcome(fields: Fields = {}): void {
    this.say({
      type: "notification",
      code: "connected",
      content: "Connected to Agent WebSocket. Session ID: s1",
      timestamp: "2025-01-01T00:00:00.000Z",
      session_id: "s1",
      connection_id: "c1",
      durable: false,
      protocol: 1,
      limits: LIMITS,
      ...fields,
    });
  }

  status(code: string, id: string, fields: Fields = {}): void {
    this.say({ type: "status", content: code, timestamp: "", code, in_reply_to: id, ...fields });
  }

  delta(id: string, offset: number, content: string): void {
    this.say({ type: "delta", content, timestamp: "", turn_id: `t-${id}`, in_reply_to: id, offset });
  }

  reasoning(id: string, offset: number, content: string): void {
    this.say({ type: "reasoning", content, timestamp: "", turn_id: `t-${id}`, in_reply_to: id, offset });
  }

  response(id: string, seq: number, content: string, fields: Fields = {}): void {
    this.say({
      type: "response",
      content,
      timestamp: "",
      seq,
      turn_id: `t-${id}`,
      in_reply_to: id,
      finish_reason: "stop",
      model: "m",
      ...fields,
    });
  }

  error(code: string, fields: Fields = {}): void {
    this.say({ type: "error", content: code, timestamp: "", code, retryable: false, ...fields });
  }

  notice(code: string): void {
    this.say({ type: "notification", content: code, timestamp: "", code });
  }

  /** The query `id` has replaced the query `replaced`, and all that came after it. */
  rewound(id: string, replaced: string, seq: number): void {
    this.status("rewound", id, { seq, data: { query_id: replaced } });
  }

  /** Closes the connection. */
  end(code: number, reason = ""): void {
    this.onclose?.({ code, reason });
  }

  /** The ids of the queries that were sent on it. */
  get asked(): string[] {
    return this.sent.filter(({ type }) => type === "query").map(({ id }) => id);
  }

  /** The verbs of the commands that were sent on it. */
  get commands(): string[] {
    return this.sent.filter(({ type }) => type === "command").map(({ content }) => content);
  }
}

/** A tab's storage, in memory. */
export class MemoryStorage implements CursorStorage {
  readonly items = new Map<string, string>();
  getItem(key: string): string | null {
    return this.items.get(key) ?? null;
  }
  setItem(key: string, value: string): void {
    this.items.set(key, value);
  }
  removeItem(key: string): void {
    this.items.delete(key);
  }
}

/** A browser's window with a document. */
export class TestWindow extends EventTarget {
  readonly document: EventTarget & { visibilityState: string } = Object.assign(new EventTarget(), {
    visibilityState: "visible",
  });

  fire(type: string): void {
    this.dispatchEvent(new Event(type));
  }

  /** Shows or hides the page. */
  become(visibilityState: "visible" | "hidden"): void {
    this.document.visibilityState = visibilityState;
    this.document.dispatchEvent(new Event("visibilitychange"));
  }
}

export interface TestClient<Client extends AgentClient = AgentClient> {
  client: Client;
  clock: ManualClock;
  sockets: ScriptedSocket[];
  /** The client's events, oldest first. */
  events: { [Name in keyof ClientEvents]: ClientEvents[Name][] };
  wake: TestWindow;
  /** The newest socket, once it is open. Waits for the token, and moves the clock to the next attempt. */
  socket(): Promise<ScriptedSocket>;
  /** Connects and receives a welcome. */
  welcomed(fields?: Fields): Promise<ScriptedSocket>;
}

/** A client with a manual clock, with ids q1, q2 …, and with a fixed `jitter` in place of a random number. */
export function scriptedClient(options: AgentClientOptions & { jitter?: number } = {}): TestClient {
  return scripted(AgentClient, options);
}

/** The same, for an agent with tools. */
export function scriptedToolClient(options: ToolClientOptions = {}): TestClient<ToolClient> {
  return scripted(ToolClient, options);
}

function scripted<Client extends AgentClient, Options extends AgentClientOptions>(
  Client: new (url: string, options: Options) => Client,
  options: Options & { jitter?: number },
): TestClient<Client> {
  const { jitter = 0.5, ...given } = options;
  const clock = new ManualClock();
  const wake = new TestWindow();
  const sockets: ScriptedSocket[] = [];
  let ids = 0;
  const client = new Client("https://project.supabase.co/functions/v1/agent_websocket", {
    clock,
    random: () => jitter,
    createId: () => `q${++ids}`,
    wake: wake as WakeSource,
    WebSocket: class extends ScriptedSocket {
      constructor(url: string, protocols: string[]) {
        super(url, protocols);
        sockets.push(this);
      }
    },
    ...given,
  } as unknown as Options);
  const events: TestClient["events"] = {
    open: [],
    reconnected: [],
    message: [],
    notification: [],
    turn: [],
    reconnecting: [],
    close: [],
    error: [],
  };
  for (const name of Object.keys(events) as (keyof ClientEvents)[]) {
    client.on(name, (payload) => (events[name] as unknown[]).push(payload));
  }
  let seen = 0;
  async function socket(): Promise<ScriptedSocket> {
    for (let turn = 0; sockets.length <= seen; turn++) {
      assert.ok(turn < 10, "no socket was opened");
      clock.advance(clock.nextDelayMs ?? 0);
      await settle(1);
    }
    seen = sockets.length;
    return sockets.at(-1) ?? assert.fail();
  }
  async function welcomed(fields?: Fields): Promise<ScriptedSocket> {
    void client.connect();
    const opened = await socket();
    opened.welcome(fields);
    return opened;
  }
  return { client, clock, sockets, events, wake, socket, welcomed };
}
