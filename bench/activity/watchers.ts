/** A hundred sockets that receive events, and the check that each received all of them. */

import type { ServerProcess } from "../host/server_process.ts";
import { RawSocket } from "../load/raw_socket.ts";
import { invalid } from "../report/invalid.ts";

export const WATCHERS = 100;
const RECEIVE_TIMEOUT_MS = 20_000;
/** The number of a frame's last event is within this many bytes of its end. */
const TAIL_BYTES = 200;

export interface Emission {
  events: number;
  everyMs: number;
}

/** One side of the server, with its sockets. */
export class Watchers {
  readonly #server: ServerProcess;
  readonly #side: string;
  readonly #sockets: readonly RawSocket[];

  private constructor(server: ServerProcess, side: string, sockets: readonly RawSocket[]) {
    this.#server = server;
    this.#side = side;
    this.#sockets = sockets;
  }

  static async connect(server: ServerProcess, side: string, count = WATCHERS): Promise<Watchers> {
    await post(server, `/accept?side=${side}`);
    const sockets = await Promise.all(Array.from({ length: count }, () => RawSocket.open(server.port)));
    return new Watchers(server, side, sockets);
  }

  async say(message: object): Promise<void> {
    await Promise.all(this.#sockets.map((socket) => socket.send(message)));
  }

  /** Emits events, and resolves when every watcher has them all. Resolves to the CPU time for it, in microseconds. */
  async cpuOf({ events, everyMs }: Emission): Promise<number> {
    const before = await this.#server.used();
    const last = new TextEncoder().encode(`"sessionId":"${events - 1}"`);
    const received = this.#sockets.map((socket) => {
      socket.frames.length = 0;
      return new Promise<void>((resolve) => {
        socket.onFrame = (payload) => {
          if (includes(payload.subarray(-TAIL_BYTES), last)) resolve();
        };
      });
    });
    const emitted = post(this.#server, `/emit?side=${this.#side}&events=${events}&everyMs=${everyMs}`);
    const { promise: timeout, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => reject(invalid("not every event came")), RECEIVE_TIMEOUT_MS);
    try {
      await Promise.race([Promise.all([emitted, ...received]), timeout]);
    } finally {
      clearTimeout(timer);
    }
    const after = await this.#server.used();
    for (const { frames } of this.#sockets) check(frames, events);
    return after.cpuUs - before.cpuUs;
  }

  close(): void {
    for (const socket of this.#sockets) socket.close();
  }
}

async function post(server: ServerProcess, path: string): Promise<void> {
  const { status } = await fetch(`http://127.0.0.1:${server.port}${path}`, { method: "POST" });
  if (status !== 204) throw invalid(`${path} was answered ${status}`);
}

function includes(bytes: Uint8Array, part: Uint8Array): boolean {
  for (let start = 0; start + part.length <= bytes.length; start++) {
    if (part.every((byte, index) => bytes[start + index] === byte)) return true;
  }
  return false;
}

/** Throws if events are missing, doubled or out of order. */
function check(frames: readonly Uint8Array[], events: number): void {
  const decoder = new TextDecoder();
  const seen = frames.flatMap((payload) => {
    const frame = JSON.parse(decoder.decode(payload));
    if (frame.type === "heartbeat") return [];
    return frame.type === "batch" ? frame.events : [frame];
  });
  if (seen.length !== events) throw invalid(`${seen.length} of ${events} events came`);
  if (seen.some(({ data }, index) => data.sessionId !== String(index))) throw invalid("events out of order");
}
