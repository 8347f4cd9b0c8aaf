/** The handshake over bare HTTP and TCP, on both runtimes: what reaches the function, and what it answers. */

import assert from "node:assert/strict";
import { withAgent } from "../support/agent_process.ts";
import { type RawRequest, rawRequest, RawSocket } from "../support/raw_socket.ts";
import { RUNTIMES } from "../support/runtimes.ts";
import { connect, of } from "../support/agent_client.ts";

const PATH = "/agent_websocket";

for (const { name, path } of RUNTIMES) {
  Deno.test(`[HS1] ${name}: an upgrade is taken in any case, with and without a slash or a prefix`, async () => {
    await withAgent({ deno: await path() }, async ({ port }) => {
      for (const upgrade of ["websocket", "WebSocket", "WEBSOCKET", "wEbSoCkEt"]) {
        for (const target of [PATH, `${PATH}/`, "/", `/functions/v1${PATH}`, `${PATH}?x=1`]) {
          using socket = await RawSocket.open(port, { target, headers: { Upgrade: upgrade } });
          const { status, headers } = await socket.answer();
          assert.equal(status, 101, `${upgrade} ${target}`);
          assert.equal(headers.get("upgrade")?.toLowerCase(), "websocket");
          // For the sample key: RFC 6455, section 1.3.
          assert.equal(headers.get("sec-websocket-accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        }
      }
    });
  });

  Deno.test(`[HS1] ${name}: everything else is 400 "Expected WebSocket request"`, async () => {
    const plain = { Upgrade: undefined, Connection: undefined };
    const others: Record<string, RawRequest> = {
      "GET without an upgrade": { target: PATH, headers: plain },
      "POST": { method: "POST", target: PATH, headers: { ...plain, "Content-Length": "0" } },
      "PUT": { method: "PUT", target: PATH, headers: { ...plain, "Content-Length": "0" } },
      "HEAD": { method: "HEAD", target: PATH, headers: plain },
      "HEAD of /health": { method: "HEAD", target: `${PATH}/health`, headers: plain },
      "OPTIONS": { method: "OPTIONS", target: PATH, headers: plain },
      "an upgrade to something else": { target: PATH, headers: { Upgrade: "h2c" } },
      "an upgrade to two things": { target: PATH, headers: { Upgrade: "websocket, h2c" } },
      "an upgrade on another path": { target: `${PATH}/other` },
      "an upgrade on /health/": { target: `${PATH}/health/` },
      "GET on another path": { target: `${PATH}/other`, headers: plain },
      "POST to /health": {
        method: "POST",
        target: `${PATH}/health`,
        headers: { ...plain, "Content-Length": "0" },
      },
      "a path that climbs": { target: `${PATH}/../../etc/passwd`, headers: plain },
    };
    await withAgent({ deno: await path() }, async ({ port }) => {
      for (const [what, request] of Object.entries(others)) {
        const { status, body } = await rawRequest(port, request);
        assert.equal(status, 400, what);
        assert.equal(body, request.method === "HEAD" ? "" : "Expected WebSocket request", what);
      }
      // Deno answers this one itself, with an empty body.
      const posted = await rawRequest(port, {
        method: "POST",
        target: PATH,
        headers: { "Content-Length": "0" },
      });
      assert.equal(posted.status, 400);
    });
  });

  Deno.test(`[HS2] ${name}: a malformed handshake or parameter is 400, and the body says which`, async () => {
    const malformed: readonly [what: string, request: RawRequest, named: RegExp][] = [
      ["no key", { target: PATH, headers: { "Sec-WebSocket-Key": undefined } }, /handshake/],
      ...["-1", "1.5", "abc", "", "1e3", "0x10", " 1", "99999999999999999999", "1,2"].map((value) =>
        [
          `last_seq=${value}`,
          { target: `${PATH}?session_id=x&last_seq=${encodeURIComponent(value)}` },
          /"last_seq" must be a whole number/,
        ] as const satisfies [string, RawRequest, RegExp]
      ),
      ["last_seq without a session", { target: `${PATH}?last_seq=x` }, /"last_seq"/],
      ["stream=yes", { target: `${PATH}?stream=yes` }, /"stream" must be true or false/],
      ["stream=", { target: `${PATH}?stream=` }, /"stream"/],
      ["stream=TRUE", { target: `${PATH}?stream=TRUE` }, /"stream"/],
      ["reasoning=yes", { target: `${PATH}?reasoning=yes` }, /"reasoning" must be true or false/],
      ["heartbeat=2", { target: `${PATH}?heartbeat=2` }, /"heartbeat" must be true or false/],
    ];
    await withAgent({ deno: await path() }, async ({ port }) => {
      for (const [what, request, named] of malformed) {
        const { status, headers, body } = await rawRequest(port, request);
        assert.equal(status, 400, what);
        assert.equal(headers.get("content-type"), "application/problem+json", what);
        const problem = JSON.parse(body);
        assert.deepEqual(Object.keys(problem), ["type", "title", "status", "code", "detail"], what);
        assert.equal(problem.status, 400, what);
        assert.equal(problem.code, "invalid_frame", what);
        assert.match(problem.detail, named, what);
      }
    });
  });

  Deno.test(`[HS3] ${name}: the welcome is the first frame, and comes after the 101`, async () => {
    await withAgent({ deno: await path() }, async ({ port, wsUrl }) => {
      using socket = await RawSocket.open(port, { target: PATH });
      const { status } = await socket.answer();
      assert.equal(status, 101);
      const { opcode, payload } = await socket.frame();
      assert.equal(opcode, 1);
      const welcome = JSON.parse(new TextDecoder().decode(payload));
      assert.equal(welcome.type, "notification");
      assert.equal(welcome.code, "connected");
      assert.equal(welcome.content, `Connected to Agent WebSocket. Session ID: ${welcome.session_id}`);

      // The runtime's own client: its first message is the welcome, after `open`.
      const events: string[] = [];
      await using client = await connect(wsUrl, { welcomed: false });
      client.socket.addEventListener("message", () => events.push("message"));
      assert.equal(client.socket.readyState, WebSocket.OPEN);
      await client.waitFor(of("notification", "connected"));
      assert.deepEqual(Object.keys(client.welcome).sort(), [
        "code",
        "connection_id",
        "content",
        "durable",
        "limits",
        "protocol",
        "resume_token",
        "session_id",
        "timestamp",
        "type",
      ]);
      assert.match(String(client.welcome.resume_token), /^[\w-]{43}$/);
    });
  });

  Deno.test(`[HS4] ${name}: of all subprotocols only agent-websocket.v1 is named, and only if offered`, async () => {
    await withAgent({ deno: await path() }, async ({ port }) => {
      const offers: readonly [offered: string | undefined, named: string | undefined][] = [
        [undefined, undefined],
        ["agent-websocket.v1", "agent-websocket.v1"],
        ["jwt-abc.def.ghi, agent-websocket.v1", "agent-websocket.v1"],
        ["agent-websocket.v1, jwt-abc.def.ghi, resume-xyz", "agent-websocket.v1"],
        ["jwt-abc.def.ghi", undefined],
        ["resume-xyz", undefined],
        ["agent-websocket.v2", undefined],
        ["Agent-WebSocket.V1", undefined],
      ];
      for (const [offered, named] of offers) {
        const answer = await rawRequest(port, {
          target: PATH,
          headers: { "Sec-WebSocket-Protocol": offered },
        });
        assert.equal(answer.status, 101, offered);
        assert.equal(answer.headers.get("sec-websocket-protocol"), named, offered);
        for (const value of answer.headers.values()) assert.doesNotMatch(value, /abc\.def|xyz/);
      }
    });
  });

  Deno.test(`[HS4] ${name}: the subprotocols are taken in any spelling of a list, by the agent and for the activity`, async () => {
    const another = "\r\nSec-WebSocket-Protocol: ";
    const spellings = [
      "agent-websocket.v1,jwt-abc.def.ghi",
      "jwt-abc.def.ghi,agent-websocket.v1",
      "jwt-abc.def.ghi ,agent-websocket.v1",
      "jwt-abc.def.ghi  ,  agent-websocket.v1 ",
      "jwt-abc.def.ghi\t,\tagent-websocket.v1\t",
      "agent-websocket.v1,",
      ",agent-websocket.v1",
      ", ,jwt-abc.def.ghi,,\t, agent-websocket.v1,,",
      "agent-websocket.v1,agent-websocket.v1",
      `agent-websocket.v1${another}jwt-abc.def.ghi`,
      `jwt-abc.def.ghi,resume-xyz${another}agent-websocket.v1,jwt-abc.def.ghi`,
      `jwt-abc.def.ghi${another}${another}agent-websocket.v1`,
    ];
    await withAgent({ deno: await path() }, async ({ port }) => {
      for (const target of [PATH, `${PATH}/api/v1/activity/live`]) {
        for (const offered of spellings) {
          const answer = await rawRequest(port, {
            target,
            headers: { "Sec-WebSocket-Protocol": offered },
          });
          assert.equal(answer.status, 101, `${target} ${JSON.stringify(offered)}: ${answer.body}`);
          assert.equal(answer.headers.get("sec-websocket-protocol"), "agent-websocket.v1", offered);
        }
        for (const offered of ["", ",", " ,\t,"]) {
          const answer = await rawRequest(port, { target, headers: { "Sec-WebSocket-Protocol": offered } });
          assert.equal(answer.status, 101, `nothing is offered: ${JSON.stringify(offered)}`);
          assert.equal(answer.headers.get("sec-websocket-protocol"), undefined);
        }
      }
    });
  });
}

Deno.test("[HS5] a browser from another origin is 403, one without an origin passes", async () => {
  const env = { ALLOWED_ORIGINS: "https://app.example.com, http://localhost:5173" };
  await withAgent({ env }, async ({ port }) => {
    const origins: readonly [origin: string | undefined, status: number][] = [
      ["https://app.example.com", 101],
      ["http://localhost:5173", 101],
      [undefined, 101],
      ["https://evil.example.com", 403],
      ["https://app.example.com.evil.com", 403],
      ["http://app.example.com", 403],
      ["https://app.example.com:8443", 403],
      ["null", 403],
    ];
    for (const [origin, expected] of origins) {
      const { status, body } = await rawRequest(port, { target: PATH, headers: { Origin: origin } });
      assert.equal(status, expected, origin);
      if (expected === 403) assert.equal(JSON.parse(body).code, "forbidden");
    }
  });
});

Deno.test("[HS6] frames that are sent right behind the handshake are taken after the welcome, in order", async () => {
  await withAgent({}, async ({ port }) => {
    using socket = await RawSocket.open(port, { target: PATH });
    for (let index = 1; index <= 20; index++) {
      await socket.sendText(JSON.stringify({ type: "command", content: "ping", id: `early-${index}` }));
    }
    await socket.answer();
    const frames: Record<string, unknown>[] = [];
    while (frames.length < 21) {
      const { payload } = await socket.frame();
      frames.push(JSON.parse(new TextDecoder().decode(payload)));
    }
    assert.equal(frames[0]?.code, "connected");
    const answered = frames.slice(1).map((frame) => frame.in_reply_to);
    assert.deepEqual(answered, Array.from({ length: 20 }, (_, index) => `early-${index + 1}`));
  });
});
