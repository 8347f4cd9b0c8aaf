/**
 * From an open socket to a connection with a session: who is it, is there room, which session.
 *
 * Frames of a client that does not wait for the welcome are kept meanwhile, and handed on in order.
 */

import { AgentError, toAgentError } from "../errors.ts";
import { identify, type Identity, type IdentityPolicy } from "../guard/identity.ts";
import type { CancelTimer, Clock, Log } from "../ports/runtime.ts";
import type { ClientFrame } from "../protocol/client_frames.ts";
import { CLOSE, type Closing } from "../protocol/close_codes.ts";
import type { Connection } from "./connection.ts";

/** Frames kept for one connection until it has a session. */
const MAX_EARLY_FRAMES = 100;

export interface HandshakeOptions {
  clock: Clock;
  log: Log;
  identity: IdentityPolicy;
  /** How long a connection may take to say who it is. */
  authTimeoutMs: number;
  /** Gives the connection its session. Rejects if it cannot have one. */
  enter(connection: Connection, identity: Identity): Promise<void>;
}

interface Opening {
  /** Frames that came too early, while the token is being checked; undefined while none has come. */
  early: ClientFrame[] | undefined;
  /** Whether the next frame has to say who it is. */
  isAsked: boolean;
  /** Runs from the opening of the socket until it is known who it is, whatever comes meanwhile. */
  cancelDeadline: CancelTimer;
}

export class Handshake {
  readonly #options: HandshakeOptions;
  readonly #openings = new Map<Connection, Opening>();

  constructor(options: HandshakeOptions) {
    this.#options = options;
  }

  /** Connections without a session yet. */
  get connections(): Iterable<Connection> {
    return this.#openings.keys();
  }

  /** Starts with the token of the upgrade, if it brought one. */
  start(connection: Connection): void {
    const opening: Opening = {
      early: undefined,
      isAsked: false,
      cancelDeadline: this.#options.clock.after(this.#options.authTimeoutMs, () => {
        this.refuse(connection, this.#lateness(opening));
      }),
    };
    this.#openings.set(connection, opening);
    this.#proceed(connection, opening, connection.request.token);
  }

  /** Takes a frame if the connection has no session yet. Throws where it is not the frame that was asked for. */
  intercept(connection: Connection, frame: ClientFrame): boolean {
    const opening = this.#openings.get(connection);
    if (opening === undefined) return false;
    if (!opening.isAsked) {
      opening.early ??= [];
      if (opening.early.length >= MAX_EARLY_FRAMES) {
        throw new AgentError("rate_limited", "Cannot take frame: too many came before the welcome", {
          retryable: true,
        });
      }
      opening.early.push(frame);
      return true;
    }
    if (frame.type !== "command" || frame.verb !== "auth") {
      throw new AgentError(
        "unauthorized",
        'Cannot take frame: the first one must be {"type":"command","content":"auth","args":{"token":"…"}}',
      );
    }
    opening.isAsked = false;
    this.#proceed(connection, opening, frame.args.token);
    return true;
  }

  /** The connection is gone, or was sent away. */
  forget(connection: Connection): void {
    this.#openings.get(connection)?.cancelDeadline();
    this.#openings.delete(connection);
  }

  /** Sends the error and closes. */
  refuse(connection: Connection, thrown: unknown): void {
    const error = toAgentError(thrown);
    this.#options.log.write({
      level: "info",
      event: "connection_refused",
      connection_id: connection.id,
      error,
    });
    this.forget(connection);
    connection.sendError(error);
    connection.close(closingFor(error));
  }

  #proceed(connection: Connection, opening: Opening, token: string | undefined): void {
    this.#open(connection, opening, token).catch((thrown) => this.refuse(connection, thrown));
  }

  async #open(connection: Connection, opening: Opening, token: string | undefined): Promise<void> {
    const { identity: policy, enter } = this.#options;
    const who = await identify(token, policy, connection.request.address);
    if (connection.isGone) return;
    if (who.kind === "missing") {
      opening.isAsked = true;
      // Frames that came before the identity was needed are handled as if they came now.
      const early = opening.early ?? [];
      opening.early = undefined;
      for (const frame of early) connection.handOn(frame);
      return;
    }
    opening.cancelDeadline();
    await enter(connection, who);
    this.#openings.delete(connection);
    for (const frame of opening.early ?? []) connection.handOn(frame);
  }

  /** The error for a connection that did not authenticate in time. */
  #lateness({ isAsked }: Opening): AgentError {
    const { authTimeoutMs } = this.#options;
    if (isAsked) {
      return new AgentError("unauthorized", `Cannot connect: no token came within ${authTimeoutMs} ms`);
    }
    const message = `Cannot connect: the token could not be checked within ${authTimeoutMs} ms`;
    return new AgentError("store_unavailable", message, { retryable: true });
  }
}

/** How a connection is closed that cannot be had. */
export function closingFor({ code }: AgentError): Closing {
  if (code === "unauthorized") return CLOSE.unauthorized;
  return code === "too_many_connections" ? CLOSE.tooManyConnections : CLOSE.tryAgainLater;
}
