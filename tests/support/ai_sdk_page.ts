/** A page with the AI SDK's transport, as the agent sees it: frames in and out, without the SDK, a runtime or a network. */

import assert from "node:assert/strict";
import { Door } from "../../supabase/functions/_shared/ai_sdk/door.ts";
import type { DoorDeps } from "../../supabase/functions/_shared/ai_sdk/door_deps.ts";
import { Listeners } from "../../supabase/functions/_shared/ai_sdk/listeners.ts";
import { BytePool } from "../../supabase/functions/_shared/guard/byte_pool.ts";
import { RateLimiter } from "../../supabase/functions/_shared/guard/rate_limiter.ts";
import type { Socket } from "../../supabase/functions/_shared/ports/runtime.ts";
import { parseConnectRequest } from "../../supabase/functions/_shared/protocol/connect_request.ts";
import { PUBLISHABLE_KEY, type TestAgent } from "./agent_harness.ts";
import { settle } from "./manual_clock.ts";

/** A token as a page makes one. */
export const PAGE_TOKEN = "page".padEnd(43, "-");

/** A chunk of an answer: `type` and whatever else it has. */
export type Chunk = { type: string; [field: string]: unknown };

interface PageFrame {
  type: string;
  requestId: string;
  sequence?: number;
  chunk?: Chunk;
  errorText?: string;
}

const listeners = new WeakMap<TestAgent, Listeners>();

/** The page's end of one socket. Every frame is checked as the transport checks it. */
export class AiSdkPage implements Socket {
  readonly frames: PageFrame[] = [];
  bufferedAmount = 0;
  closed: { code: number; reason: string } | undefined;
  /** Whether nothing was sent after the socket was closed or lost. */
  #isOpen = true;
  readonly #live = new Set<string>();
  #door: Door | undefined;
  #requests = 0;

  attach(door: Door): void {
    this.#door = door;
  }

  send(text: string): void {
    assert.ok(this.#isOpen, "sent after the close");
    const frame: PageFrame = JSON.parse(text);
    assert.equal(typeof frame.requestId, "string", text);
    assert.ok(["start", "chunk", "end", "error", "no-active"].includes(frame.type), text);
    if (this.#live.has(frame.requestId) && frame.type === "chunk") {
      const before = this.of(frame.requestId).filter(({ type }) => type === "chunk").length;
      assert.equal(frame.sequence, before, "a gap in the sequence");
    }
    this.frames.push(frame);
    if (["end", "error", "no-active"].includes(frame.type)) this.#live.delete(frame.requestId);
  }

  close(code: number, reason: string): void {
    this.closed ??= { code, reason };
    this.#isOpen = false;
  }

  /** Sends a frame as it is. */
  say(frame: unknown): void {
    const data = typeof frame === "string" || frame instanceof ArrayBuffer ? frame : JSON.stringify(frame);
    this.#door?.received(data);
  }

  /** Sends the user's message, after the messages before it. Returns the request id. */
  ask(text: string, fields: { id?: string; chat?: string; [field: string]: unknown } = {}): string {
    const { id = `m${this.#requests}`, chat = "c1", ...rest } = fields;
    return this.request({
      type: "send",
      id: chat,
      trigger: "submit-message",
      messages: [{ id, role: "user", parts: [{ type: "text", text }] }],
      headers: {},
      body: {},
      ...rest,
    });
  }

  resume(chat = "c1"): string {
    return this.request({ type: "resume", id: chat, headers: {}, body: {} });
  }

  abort(requestId: string): void {
    this.#live.delete(requestId);
    this.say({ type: "abort", requestId });
  }

  request(fields: Record<string, unknown>): string {
    const { type, requestId = `r${++this.#requests}`, ...rest } = fields;
    this.#live.add(String(requestId));
    // In this order the transport writes them.
    this.say({ type, requestId, ...rest });
    return String(requestId);
  }

  /** The socket is lost: the page was left. */
  vanish(): void {
    this.#isOpen = false;
    this.#door?.lost(1006);
  }

  of(requestId: string): PageFrame[] {
    return this.frames.filter((frame) => frame.requestId === requestId);
  }

  chunks(requestId: string): Chunk[] {
    return this.of(requestId).flatMap(({ chunk }) => chunk === undefined ? [] : [chunk]);
  }

  /** The types of the frames of a request; of chunks, theirs. */
  types(requestId: string): string[] {
    return this.of(requestId).map(({ type, chunk }) => chunk?.type ?? type);
  }

  /** What the page shows of a request, as the SDK builds it: parts as `type: text`. */
  parts(requestId: string): string[] {
    let parts: { id: unknown; type: string; text: string }[] = [];
    for (const { type, id, delta } of this.chunks(requestId)) {
      if (type === "reset-step") parts = [];
      else if (type === "text-start" || type === "reasoning-start") {
        parts.push({ id, type: type.replace("-start", ""), text: "" });
      } else if (type === "text-delta" || type === "reasoning-delta") {
        const part = parts.find((part) => part.id === id);
        assert.ok(part, `a delta of no part: ${id}`);
        part.text += delta;
      } else if (type.startsWith("data-")) parts.push({ id, type, text: "" });
    }
    return parts.map(({ type, text }) => text === "" ? type : `${type}: ${text}`);
  }

  text(requestId: string): string {
    return this.parts(requestId).flatMap((part) => /^text: (.*)$/s.exec(part)?.[1] ?? []).join("");
  }

  errorOf(requestId: string): string | undefined {
    return this.of(requestId).find(({ type }) => type === "error")?.errorText;
  }
}

export interface PageOptions extends Partial<DoorDeps> {
  mode?: "required" | "optional" | "none";
  perMinute?: number;
  burst?: number;
}

/** Opens a socket at a worker, with these query parameters. */
export async function openPage(
  agent: TestAgent,
  query = `resume_token=${PAGE_TOKEN}`,
  { mode = "optional", perMinute = 0, burst = 20, ...deps }: PageOptions = {},
): Promise<AiSdkPage> {
  const { clock, metrics, memory, server, logged, verifier } = agent;
  const page = new AiSdkPage();
  const asked = parseConnectRequest(
    new URL(`http://localhost/agent_websocket/ai-sdk?${query}`),
    new Headers(),
  );
  const known = listeners.get(agent) ?? new Listeners();
  listeners.set(agent, known);
  const door = new Door(page, { ...asked, address: "10.0.0.1" }, {
    clock,
    ids: { uuid: () => "00000000-0000-4000-8000-00000000d00r", secret: () => "" },
    log: { write: (entry) => void logged.push(entry) },
    metrics,
    memory,
    waiting: new BytePool(),
    rateLimiter: new RateLimiter(clock, { perMinute, burst }),
    identity: { mode, verifier, isPublishableKey: (token) => token === PUBLISHABLE_KEY },
    server,
    maxFrameBytes: 1_048_576,
    maxMessageBytes: 65_536,
    maxBufferedBytes: 1_048_576,
    authTimeoutMs: 5000,
    idleTimeoutMs: 30 * 60_000,
    ...deps,
  }, known);
  page.attach(door);
  door.opened();
  await settle();
  return page;
}
