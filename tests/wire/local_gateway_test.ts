/** The gateway of the local stack forwards bytes, and changes nothing that a client or a function could notice. */

import assert from "node:assert/strict";
import { eventually, FIXTURE_FUNCTIONS, type TestStack, withLocalStack } from "../support/local_stack.ts";
import { WireClient } from "../support/wire_client.ts";

const functions = FIXTURE_FUNCTIONS;
const encoder = new TextEncoder();

async function connect(stack: TestStack): Promise<Deno.TcpConn> {
  return await Deno.connect({ hostname: "127.0.0.1", port: Number(new URL(stack.url).port) });
}

/** Reads until the other side has closed the connection. */
async function readAll(connection: Deno.TcpConn): Promise<string> {
  const chunks: Uint8Array[] = [];
  const buffer = new Uint8Array(64 * 1024);
  for (let count = await connection.read(buffer); count !== null; count = await connection.read(buffer)) {
    chunks.push(buffer.slice(0, count));
  }
  return await new Blob(chunks as BlobPart[]).text();
}

Deno.test("local gateway: the function sees the platform's path and headers, each value as it was sent", async () => {
  await withLocalStack({ functions }, async (stack) => {
    const response = await fetch(`${stack.url}/functions/v1/probe/request?a=%20b&c`, {
      headers: {
        "x-forwarded-for": "203.0.113.7",
        "cf-connecting-ip": "203.0.113.7",
        "x-latin": "caf\u00e9",
        connection: "keep-alive",
      },
    });
    const seen: { path: string; headers: Record<string, string> } = await response.json();
    assert.equal(seen.path, "/probe/request?a=%20b&c");
    assert.equal(seen.headers["x-forwarded-for"], "203.0.113.7, 127.0.0.1");
    assert.equal(seen.headers["cf-connecting-ip"], "127.0.0.1");
    assert.equal(seen.headers["x-forwarded-host"], new URL(stack.url).host);
    assert.equal(seen.headers["x-forwarded-proto"], "http");
    assert.equal(seen.headers["x-forwarded-port"], new URL(stack.url).port);
    assert.equal(seen.headers["x-latin"], "caf\u00e9");
    assert.equal(response.headers.get("connection"), "close");
  });
});

Deno.test("local gateway: bodies pass, chunked or with a length, 20 MB each way", async () => {
  await withLocalStack({ functions }, async (stack) => {
    const bytes = 20 * 1024 * 1024;
    const url = `${stack.url}/functions/v1/probe`;
    const withLength = await fetch(`${url}/echo`, { method: "POST", body: new Uint8Array(bytes).fill(97) });
    assert.equal(withLength.headers.get("x-length"), String(bytes));
    assert.equal((await withLength.arrayBuffer()).byteLength, bytes);
    const pieces = Array.from({ length: 100 }, (_, index) => encoder.encode(`piece ${index};`));
    const chunked = await fetch(`${url}/echo`, { method: "POST", body: ReadableStream.from(pieces) });
    assert.equal(chunked.headers.get("x-length"), "");
    assert.equal(await chunked.text(), pieces.map((_, index) => `piece ${index};`).join(""));
    const big = await fetch(`${url}/big?bytes=${bytes}`);
    assert.equal((await big.arrayBuffer()).byteLength, bytes);
  });
});

Deno.test("local gateway: an answer before the body was sent still arrives", async () => {
  await withLocalStack({ functions }, async (stack) => {
    using connection = await connect(stack);
    await connection.write(
      encoder.encode(
        "POST /functions/v1/probe/refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 20000000\r\n\r\nsome of it",
      ),
    );
    const buffer = new Uint8Array(4096);
    let answer = "";
    while (!answer.endsWith("too much")) {
      const count = await connection.read(buffer);
      assert.ok(count !== null, `ended after: ${answer}`);
      answer += new TextDecoder().decode(buffer.subarray(0, count));
    }
    assert.match(answer, /^HTTP\/1\.1 413 /);
  });
});

Deno.test("local gateway: close codes and reasons pass in both directions", async () => {
  await withLocalStack({ functions }, async (stack) => {
    const url = `${stack.wsUrl}/functions/v1/probe/socket`;
    const closedByFunction = new WireClient(url);
    closedByFunction.socket.onopen = () => closedByFunction.socket.send("close 4009 gone");
    assert.deepEqual(await closedByFunction.end(), { code: 4009, reason: "gone" });
    const closedByClient = new WireClient(url);
    await closedByClient.next(/^worker/);
    closedByClient.socket.close(4321, "enough");
    await eventually("the client's code", () => stack.workerLogs.includes("[probe#1] closed 4321"));
    await closedByClient.end();
  });
});

Deno.test("local gateway: a slow reader is slow for the function too, and for nobody else", async () => {
  await withLocalStack({ functions }, async (stack) => {
    using slow = await connect(stack);
    await slow.write(encoder.encode(upgradeRequest("probe/socket")));
    // 40 MB for a client that does not read: more than all the system's buffers on the way can hold.
    await slow.write(textFrame("flood 2560"));
    await slow.write(textFrame("buffered"));
    const other = new WireClient(`${stack.wsUrl}/functions/v1/probe/socket`);
    await other.next(/^worker/);
    other.socket.send("still quick");
    await other.next(/^still quick$/);
    await other.close();
    const buffer = new Uint8Array(1024 * 1024);
    let received = 0;
    let buffered: string | undefined;
    // The answer may be split between two reads.
    let end = "";
    while (buffered === undefined) {
      const count = await slow.read(buffer);
      assert.ok(count !== null, `ended after ${received} bytes`);
      received += count;
      const text = end + new TextDecoder().decode(buffer.subarray(0, count));
      buffered = /buffered (\d+)/.exec(text)?.[1];
      end = text.slice(-20);
    }
    assert.ok(received > 40 * 1024 * 1024);
    assert.ok(Number(buffered) > 20 * 1024 * 1024, `bufferedAmount was ${buffered}`);
  });
});

Deno.test("local gateway: a client that vanishes is noticed by the function", async () => {
  await withLocalStack({ functions }, async (stack) => {
    const connection = await connect(stack);
    await connection.write(encoder.encode(upgradeRequest("probe/socket")));
    await connection.read(new Uint8Array(1024));
    await connection.write(textFrame("hello"));
    await connection.read(new Uint8Array(1024));
    connection.close();
    await eventually("its end", () => stack.workerLogs.some((line) => /^\[probe#1\] closed/.test(line)));
  });
});

Deno.test("local gateway: no connection is left behind, however it ended", async () => {
  await withLocalStack({ functions }, async (stack) => {
    const open = (): number => [...Deno.readDirSync("/proc/self/fd")].length;
    const before = open();
    const sockets = Array.from(
      { length: 20 },
      () => new WireClient(`${stack.wsUrl}/functions/v1/probe/socket`),
    );
    await Promise.all(sockets.map((socket) => socket.next(/^worker/)));
    const [closed, cut] = [sockets.slice(0, 10), sockets.slice(10)];
    await Promise.all(closed.map((socket) => socket.close()));
    for (let count = 0; count < 10; count++) {
      using connection = await connect(stack);
      await connection.write(encoder.encode(upgradeRequest("probe/socket")));
    }
    assert.ok(stack.disturb("probe", "kill"));
    await Promise.all(cut.map((socket) => socket.end()));
    await eventually("as many open files as before", () => open() <= before);
  });
});

Deno.test("local gateway: a head may come byte by byte", async () => {
  await withLocalStack({ functions }, async (stack) => {
    using connection = await connect(stack);
    connection.setNoDelay();
    for (const byte of encoder.encode("GET /functions/v1/probe/request?slowly HTTP/1.1\r\nHost: a\r\n\r\n")) {
      await connection.write(new Uint8Array([byte]));
    }
    assert.match(await readAll(connection), /^HTTP\/1\.1 200 [^]*"\/probe\/request\?slowly"/);
  });
});

Deno.test("local gateway: a refused upgrade ends its connection", async () => {
  await withLocalStack({ functions }, async (stack) => {
    using connection = await connect(stack);
    await connection.write(encoder.encode(
      "GET /functions/v1/probe/socket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    ));
    assert.match(await readAll(connection), /^HTTP\/1\.1 400 [^]*Expected WebSocket request$/);
  });
});

Deno.test("local gateway: a 101 is what the function said, with no `close` of the gateway's own", async () => {
  await withLocalStack({ functions }, async (stack) => {
    using connection = await connect(stack);
    await connection.write(encoder.encode(upgradeRequest("probe/socket")));
    const buffer = new Uint8Array(4096);
    const head = new TextDecoder().decode(buffer.subarray(0, await connection.read(buffer) ?? 0));
    assert.match(head, /^HTTP\/1\.1 101 /);
    assert.deepEqual(head.match(/^connection: .*$/gim)?.map((line) => line.trim().toLowerCase()), [
      "connection: upgrade",
    ]);
  });
});

Deno.test("local gateway: unknown paths are 404, unknown functions too", async () => {
  await withLocalStack({ functions }, async (stack) => {
    for (
      const path of [
        "functions/v1/none",
        "functions/v1/",
        "functions/v1/_shared/x",
        "storage/v1/object",
        "x",
      ]
    ) {
      const response = await fetch(`${stack.url}/${path}`);
      assert.equal(response.status, 404, path);
      assert.equal((await response.json()).code, "NOT_FOUND");
    }
  });
});

Deno.test("local gateway: what is no HTTP request is refused", async () => {
  await withLocalStack({ functions }, async (stack) => {
    const answers: readonly [sent: string, answer: RegExp][] = [
      ["hello\r\n\r\n", /^HTTP\/1\.1 400 /],
      ["GET / HTTP/1.1\r\nno header\r\n\r\n", /^HTTP\/1\.1 400 /],
      ["GET http://elsewhere/ HTTP/1.1\r\n\r\n", /^HTTP\/1\.1 400 /],
      [`GET / HTTP/1.1\r\nLong: ${"x".repeat(40_000)}\r\n\r\n`, /^HTTP\/1\.1 431 /],
      ["GET /functions/v1/none HTTP/1.0\r\n\r\n", /^HTTP\/1\.1 404 /],
    ];
    for (const [sent, answer] of answers) {
      using connection = await connect(stack);
      await connection.write(encoder.encode(sent));
      assert.match(await readAll(connection), answer, sent.slice(0, 30));
    }
    using silent = await connect(stack);
    await silent.closeWrite();
    assert.equal(await readAll(silent), "");
  });
});

function upgradeRequest(path: string): string {
  return [
    `GET /functions/v1/${path} HTTP/1.1`,
    "Host: a",
    "Connection: keep-alive, Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "",
    "",
  ].join("\r\n");
}

/** A masked text frame of at most 125 bytes; the mask is zero. */
function textFrame(text: string): Uint8Array {
  const bytes = encoder.encode(text);
  return new Uint8Array([0x81, 0x80 | bytes.length, 0, 0, 0, 0, ...bytes]);
}
