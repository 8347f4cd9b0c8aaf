/** The client where a runtime lacks what browsers have, as React Native does. */

import assert from "node:assert/strict";
import { AgentClient } from "../../../client/client.ts";
import { endpointOf, withParameters } from "../../../client/endpoint.ts";
import { MemoryStorage, scriptedClient, ScriptedSocket } from "../../support/scripted_sockets.ts";

const MISSING = [
  "URL",
  "URLSearchParams",
  "crypto",
  "TextEncoder",
  "atob",
  "location",
  "document",
  "sessionStorage",
];

/** Runs `body` without these globals. */
async function without<T>(names: readonly string[], body: () => T | Promise<T>): Promise<T> {
  const kept = names.map((name) => [name, Object.getOwnPropertyDescriptor(globalThis, name)] as const);
  for (const name of names) Reflect.deleteProperty(globalThis, name);
  try {
    return await body();
  } finally {
    for (const [name, descriptor] of kept) {
      if (descriptor !== undefined) Object.defineProperty(globalThis, name, descriptor);
    }
  }
}

/** A socket that is not connected, and remembers its address as text. */
class PlainSocket extends ScriptedSocket {
  static urls: string[] = [];
  constructor(url: string, protocols: string[]) {
    super("ws://localhost/", protocols);
    PlainSocket.urls.push(url);
  }
}

Deno.test("[CT17] without URL, crypto, TextEncoder and atob a client asks, and keeps users apart", async () => {
  const tokenOf = (sub: string): string =>
    `e30.${
      btoa(JSON.stringify({ sub, name: "?>?>ÿ" })).replaceAll("+", "-").replaceAll("/", "_").replaceAll(
        "=",
        "",
      )
    }.x`;
  const tokens = [tokenOf("anna"), tokenOf("anna"), tokenOf("ben")];
  const RealURL = URL;
  PlainSocket.urls = [];
  const storage = new MemoryStorage();
  for (const token of tokens) {
    const sockets: PlainSocket[] = [];
    const WebSocket = class extends PlainSocket {
      constructor(url: string, protocols: string[]) {
        Reflect.set(globalThis, "URL", RealURL);
        super(url, protocols);
        Reflect.deleteProperty(globalThis, "URL");
        sockets.push(this);
      }
    };
    await without(MISSING, async () => {
      const client = new AgentClient("https://a.example/f", {
        WebSocket,
        storage,
        getToken: () => token,
        wake: {},
      });
      const turn = client.query("Hello 👋");
      while (sockets.length === 0) await new Promise((resolve) => setTimeout(resolve, 0));
      sockets[0]?.welcome();
      assert.ok(sockets[0]?.asked.includes(turn.id));
      client.close();
    });
  }
  assert.deepEqual(PlainSocket.urls.map((url) => new URL(url).searchParams.get("session_id")), [
    null,
    "s1",
    null,
  ]);
});

Deno.test("[CT4] without crypto, ids are unique too", async () => {
  await without(["crypto"], () => {
    const client = new AgentClient("wss://localhost/", { WebSocket: ScriptedSocket, maxQueued: 1000 });
    const ids = Array.from({ length: 500 }, () => client.query("Hello").id);
    assert.equal(new Set(ids).size, 500);
    assert.ok(ids.every((id) => id.length >= 15));
    client.close();
  });
});

Deno.test("[CT10] the length of a query is counted in UTF-8", async () => {
  const { client, welcomed } = scriptedClient();
  const text = "aß€👋\u{10ffff}";
  const frame = { type: "query", content: text, id: "a" };
  const bytes = new TextEncoder().encode(JSON.stringify(frame)).length;
  const socket = await welcomed({ limits: { max_message_bytes: bytes } });
  client.query(text, { id: "a" });
  const longer = client.query(text, { id: "ab" });
  assert.deepEqual(socket.asked, ["a"]);
  await assert.rejects(longer.final, { code: "message_too_large" });
});

Deno.test("endpointOf makes the address of a WebSocket from any absolute address", () => {
  for (
    const [given, endpoint] of [
      [
        "https://a.supabase.co/functions/v1/agent_websocket",
        "wss://a.supabase.co/functions/v1/agent_websocket",
      ],
      ["http://localhost:54321/f?x=1#part?no", "ws://localhost:54321/f?x=1"],
      ["WSS://a.example", "wss://a.example"],
      [" ws://[::1]:80/f ", "ws://[::1]:80/f"],
      [new URL("https://a.example/f?x=%20"), "wss://a.example/f?x=%20"],
    ] as const
  ) assert.equal(endpointOf(given), endpoint);
  for (const given of ["", "/functions/v1/agent_websocket", "ftp://a.example/", "https://", "a.example/f"]) {
    assert.throws(() => endpointOf(given), /Cannot create client: ".*" is not an absolute URL/);
  }
});

Deno.test("withParameters adds to the query, and replaces what has the same name", () => {
  const parameters = { stream: "true", chat_id: "ä & b=c" };
  assert.equal(withParameters("wss://a/f", parameters), "wss://a/f?stream=true&chat_id=%C3%A4%20%26%20b%3Dc");
  const full = withParameters("wss://a/f?key=1?2&stream=no&chat_id&&", parameters);
  assert.deepEqual([...new URL(full).searchParams], [["key", "1?2"], ["stream", "true"], [
    "chat_id",
    "ä & b=c",
  ]]);
});
