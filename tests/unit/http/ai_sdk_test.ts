/** The upgrade at the AI SDK's path, and its socket until the code that owns it is loaded. */

import assert from "node:assert/strict";
import { BytePool } from "../../../supabase/functions/_shared/guard/byte_pool.ts";
import {
  type AiSdkDeps,
  type AiSdkRequest,
  connectAiSdk,
  type OpenAiSdkSocket,
} from "../../../supabase/functions/_shared/http/ai_sdk.ts";
import type { UpgradeOptions } from "../../../supabase/functions/_shared/http/upgrade.ts";
import { OnDemand } from "../../../supabase/functions/_shared/on_demand.ts";
import { settle } from "../../support/manual_clock.ts";

interface Fake {
  deps: AiSdkDeps;
  socket: Pick<WebSocket, "onopen" | "onmessage" | "onclose">;
  load: PromiseWithResolvers<OpenAiSdkSocket>;
  options: UpgradeOptions | undefined;
  request: AiSdkRequest | undefined;
  closed: number | undefined;
  told: string[];
}

function fake(waiting = new BytePool()): Fake {
  const load = Promise.withResolvers<OpenAiSdkSocket>();
  const socket = {} as Fake["socket"];
  const made: Fake = {
    socket,
    load,
    options: undefined,
    request: undefined,
    closed: undefined,
    told: [],
    deps: {
      aiSdk: new OnDemand(() => load.promise),
      isAgent: () => false,
      allowedOrigins: [],
      isDraining: () => false,
      trustedProxies: { header: undefined, proxyHops: 1 },
      heartbeatIntervalMs: 25_000,
      waiting,
      maxAiSdkFrameBytes: 1000,
      upgradeWebSocket: (_request, options) => {
        made.options = options;
        const port = {
          bufferedAmount: 0,
          send: () => {},
          close: (code: number) => void (made.closed = code),
        };
        return { socket: socket as WebSocket, port, response: new Response() };
      },
    },
  };
  return made;
}

function connect({ deps }: Fake, query = "", headers: Record<string, string> = {}): Response {
  const url = new URL(`http://localhost/functions/v1/agent_websocket/ai-sdk?${query}`);
  const request = new Request(url, { headers: { upgrade: "websocket", ...headers } });
  return connectAiSdk(request, { url, peer: { remoteAddr: { hostname: "10.0.0.1" } } }, deps);
}

/** What loads: owners that write down what they are told. */
const open = (made: Fake): OpenAiSdkSocket => (_port, request) => {
  made.request = request;
  return {
    opened: () => void made.told.push("opened"),
    received: (data) => void made.told.push(String(data)),
    lost: (code) => void made.told.push(`lost ${code}`),
  };
};

const message = (data: string): MessageEvent => ({ data }) as MessageEvent;

function tell({ socket }: Fake, event: "open" | "close" | { data: string }): void {
  if (event === "open") socket.onopen?.call(socket as WebSocket, new Event("open"));
  else if (event === "close") socket.onclose?.call(socket as WebSocket, { code: 1006 } as CloseEvent);
  else socket.onmessage?.call(socket as WebSocket, message(event.data));
}

Deno.test("[AS1] the path's own subprotocol is selected, and who it is comes as on the other path", async () => {
  const token = "t".repeat(43);
  const upgrades: readonly [
    query: string,
    offered: string,
    selected: string | undefined,
    expected: object,
  ][] = [
    ["", "", undefined, { token: undefined, resumeToken: undefined }],
    ["jwt=a", "", undefined, { token: "a", resumeToken: undefined }],
    ["jwt=a", "ai-sdk.v1, jwt-b", "ai-sdk.v1", { token: "b", resumeToken: undefined }],
    ["", `jwt-b,ai-sdk.v1,resume-${token}`, "ai-sdk.v1", { token: "b", resumeToken: token }],
    [`resume_token=${token}`, "agent-websocket.v1", undefined, { token: undefined, resumeToken: token }],
    ["resume_token=", "", undefined, { token: undefined, resumeToken: undefined }],
  ];
  for (const [query, offered, selected, expected] of upgrades) {
    const made = fake();
    const headers = offered === "" ? {} : { "sec-websocket-protocol": offered };
    assert.equal(connect(made, query, headers).status, 200);
    assert.equal(made.options?.protocol, selected, offered);
    made.load.resolve(open(made));
    await settle();
    assert.deepEqual(made.request, { ...expected, origin: undefined, address: "10.0.0.1", agent: undefined });
  }
});

Deno.test("[AS3] a resume token that could be guessed is refused", async () => {
  for (const token of ["x", "t".repeat(42), "t".repeat(44), "ä".repeat(43)]) {
    const response = connect(fake(), `resume_token=${encodeURIComponent(token)}`);
    assert.equal(response.status, 400);
    assert.match((await response.json()).detail, /"resume_token" must have 43 characters/);
  }
  const made = fake();
  made.deps.allowedOrigins = ["https://example.com"];
  assert.equal(connect(made, "", { origin: "https://example.org" }).status, 403);
});

Deno.test("[AS12] what a socket tells is kept in order, and within bounds, until its owner is loaded", async () => {
  const made = fake();
  connect(made);
  tell(made, "open");
  tell(made, { data: "one" });
  tell(made, { data: "two" });
  tell(made, "close");
  assert.deepEqual(made.told, []);
  made.load.resolve(open(made));
  await settle();
  assert.deepEqual(made.told, ["opened", "one", "two", "lost 1006"]);
  connect(made);
  tell(made, "open");
  tell(made, { data: "at once" });
  assert.deepEqual(made.told.slice(4), ["opened", "at once"]);

  const waiting = new BytePool({ maxBytes: 1500 });
  const [large, other] = [fake(waiting), fake(waiting)];
  connect(large);
  tell(large, { data: "x".repeat(900) });
  tell(large, { data: "x".repeat(101) });
  assert.equal(large.closed, 1013);
  connect(other);
  tell(other, { data: "x".repeat(700) });
  assert.equal(other.closed, 1013, "for the worker together");
  tell(large, "close");
  assert.equal(waiting.used, 0);
});

Deno.test("[AS13] where the owner cannot be loaded the socket is closed", async () => {
  const made = fake();
  connect(made);
  tell(made, "open");
  made.load.reject(new Error("no such module"));
  await settle();
  assert.equal(made.closed, 1013);
});
