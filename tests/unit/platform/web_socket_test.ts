import assert from "node:assert/strict";
import { wrapSocket } from "../../../supabase/functions/_shared/platform/web_socket.ts";

/** The part of a WebSocket that the port needs. It records all calls. */
class RecordingSocket extends EventTarget {
  readyState: number = WebSocket.OPEN;
  bufferedAmount = 0;
  readonly sent: string[] = [];
  readonly closed: { code: number; reason: string }[] = [];
  broken = false;

  send(text: string): void {
    if (this.broken) throw new DOMException("'readyState' not OPEN", "InvalidStateError");
    this.sent.push(text);
  }

  close(code: number, reason: string): void {
    if (this.broken) throw new DOMException("broken", "InvalidStateError");
    this.closed.push({ code, reason });
  }
}

const wrap = (socket: RecordingSocket): ReturnType<typeof wrapSocket> =>
  wrapSocket(socket as unknown as WebSocket);

Deno.test("a socket sends while it is open, and drops the rest in silence", () => {
  const socket = new RecordingSocket();
  const port = wrap(socket);
  port.send("one");
  for (const state of [WebSocket.CONNECTING, WebSocket.CLOSING, WebSocket.CLOSED]) {
    socket.readyState = state;
    port.send("lost");
  }
  assert.deepEqual(socket.sent, ["one"]);
});

Deno.test("a socket that breaks while it is used throws nothing", () => {
  const socket = new RecordingSocket();
  socket.broken = true;
  wrap(socket).send("text");
  wrap(socket).close(1000, "");
});

Deno.test("bufferedAmount is the socket's own, at each moment", () => {
  const socket = new RecordingSocket();
  const port = wrap(socket);
  assert.equal(port.bufferedAmount, 0);
  socket.bufferedAmount = 4096;
  assert.equal(port.bufferedAmount, 4096);
});

Deno.test("a code that may not be sent becomes 1011, every other one is kept", () => {
  const socket = new RecordingSocket();
  const kept = [1000, 1001, 1003, 1007, 1008, 1009, 1011, 1012, 1013, 3000, 3008, 4001, 4999];
  const refused = [0, 999, 1004, 1005, 1006, 1014, 1015, 1016, 2999, 5000, -1, 1000.5, NaN, Infinity];
  for (const code of [...kept, ...refused]) wrap(socket).close(code, "");
  assert.deepEqual(socket.closed.map(({ code }) => code), [...kept, ...refused.map(() => 1011)]);
});

Deno.test("a reason is cut to 123 bytes, at a whole character", () => {
  const reasons: [string, string][] = [
    ["Session timeout", "Session timeout"],
    ["x".repeat(123), "x".repeat(123)],
    ["x".repeat(124), "x".repeat(123)],
    ["ë".repeat(100), "ë".repeat(61)],
    ["€".repeat(41), "€".repeat(41)],
    ["€".repeat(42), "€".repeat(41)],
    ["x" + "🎩".repeat(31), "x" + "🎩".repeat(30)],
  ];
  for (const [given, sent] of reasons) {
    const socket = new RecordingSocket();
    wrap(socket).close(1000, given);
    assert.equal(socket.closed[0]?.reason, sent);
    assert.ok(new TextEncoder().encode(sent).length <= 123);
  }
});

Deno.test("a reason with half a surrogate pair is sent at its length in bytes, not refused", () => {
  const socket = new RecordingSocket();
  wrap(socket).close(1000, "\ud83c".repeat(60));
  assert.equal(socket.closed[0]?.reason.length, 41);
});
