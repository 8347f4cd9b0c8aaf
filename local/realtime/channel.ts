/** One channel membership of one connection: from its join to its `phx_close`. */

import type { CancelTimer } from "../../supabase/functions/_shared/ports/runtime.ts";
import { type ClientFrame, isRecord, type Ref, type ServerFrame, type Version } from "./frames.ts";
import { type Member, TOPIC_PREFIX } from "./hub.ts";
import type { Context, JoinRequest } from "./join.ts";
import { isOver } from "./settings.ts";
import { type Claims, expiry, isApiKey } from "./tokens.ts";
import { notReadable, systemWords } from "./words.ts";

/** The maximum time between two checks of a token. */
const TOKEN_CHECK_MS = 300_000;

/** What a channel needs from its connection. */
export interface Outlet {
  readonly version: Version;
  send(frame: ServerFrame): void;
  deliver(frame: string | Uint8Array<ArrayBuffer>): void;
  /** The channel has sent its last message. */
  onClosed(channel: Channel): void;
}

export interface ChannelOptions {
  request: JoinRequest;
  joinRef: Ref;
  token: string;
  claims: Claims;
}

export class Channel implements Member {
  readonly joinRef: Ref;
  readonly request: JoinRequest;
  readonly #outlet: Outlet;
  readonly #context: Context;
  #token: string;
  #claims: Claims;
  #cancelCheck: CancelTimer = () => {};
  #isMember = true;

  /** Joins at once. */
  constructor({ request, joinRef, token, claims }: ChannelOptions, outlet: Outlet, context: Context) {
    this.request = request;
    this.joinRef = joinRef;
    this.#outlet = outlet;
    this.#context = context;
    this.#token = token;
    this.#claims = claims;
    context.hub.join(request.room, this);
    this.#watchToken();
  }

  get version(): Version {
    return this.#outlet.version;
  }

  get topic(): string {
    return `${TOPIC_PREFIX}${this.request.room.topic}`;
  }

  deliver(frame: string | Uint8Array<ArrayBuffer>): void {
    this.#outlet.deliver(frame);
  }

  /** Unknown events get no answer, as on the real server. */
  async receive(frame: ClientFrame): Promise<void> {
    switch (frame.event) {
      case "broadcast":
        return this.#broadcast(frame);
      case "access_token":
        if (isRecord(frame.payload)) await this.#renew(frame.payload.access_token);
        return;
      case "presence":
        return this.reply(frame, "error", { reason: "Presence is not part of the local stack" });
    }
  }

  reply({ ref }: Pick<ClientFrame, "ref">, status: "ok" | "error", response: unknown): void {
    this.push("phx_reply", { status, response }, ref);
  }

  push(event: string, payload: unknown, ref: Ref = null): void {
    this.#outlet.send({ joinRef: this.joinRef, ref, topic: this.topic, event, payload });
  }

  shutDown(message: string): void {
    if (!this.#isMember) return;
    const { topic } = this.request.room;
    this.push("system", { message, status: "error", extension: "system", channel: topic });
    this.close();
  }

  close(): void {
    if (!this.leave()) return;
    this.push("phx_close", {}, this.joinRef);
    this.#outlet.onClosed(this);
  }

  /** Leaves without a message to the client. Returns whether it was still a member. */
  leave(): boolean {
    const wasMember = this.#isMember;
    this.#isMember = false;
    this.#cancelCheck();
    this.#context.hub.leave(this.request.room, this);
    return wasMember;
  }

  #broadcast(frame: ClientFrame): void {
    const { hub, limits } = this.#context;
    const { room, self, ack } = this.request;
    const { push, payload } = frame;
    if (push === undefined && !(isRecord(payload) && "type" in payload && "payload" in payload)) return;
    if (!this.#may("write") || isOver(frame.bytes, limits.payloadBytes)) return;
    hub.publish(
      room,
      push === undefined ? { form: "text", payload } : { form: "user", message: push },
      self ? undefined : this,
    );
    // If the event rate is over the limit, publishing has ended the membership.
    if (ack && this.#isMember) this.reply(frame, "ok", {});
  }

  async #renew(token: unknown): Promise<void> {
    if (typeof token !== "string" || isApiKey(token) || token === this.#token) return;
    const verdict = await this.#context.tokens.verify(token);
    if (verdict.problem !== undefined) return this.shutDown(systemWords(verdict.problem));
    this.#token = token;
    this.#claims = verdict.claims;
    if (!this.#may("read")) return this.shutDown(notReadable(this.request.room.topic));
    this.#watchToken();
  }

  #may(action: "read" | "write"): boolean {
    const { topic, private: isPrivate } = this.request.room;
    return !isPrivate || this.#context.policy({ topic, claims: this.#claims, action });
  }

  #watchToken(): void {
    this.#cancelCheck();
    if (!this.#isMember) return;
    const { clock } = this.#context;
    const { exp } = this.#claims;
    const delayMs = Math.min(TOKEN_CHECK_MS, (exp - Math.floor(clock.now() / 1000)) * 1000);
    this.#cancelCheck = clock.after(delayMs, () => {
      const problem = expiry(exp, clock);
      if (problem === undefined) this.#watchToken();
      else this.shutDown(systemWords(problem));
    });
  }
}
