/**
 * Joins two TCP connections: bytes, backpressure, half-closes and ends pass through unchanged, so that pings, close
 * codes and cut sockets reach the other side.
 */

import type { ByteSource } from "./http_head.ts";

/** Each connection has two such buffers for its whole life, and there may be thousands of connections. */
const CHUNK_BYTES = 16 * 1024;
/** How long a client may keep sending to a worker that has finished its answer. */
const LINGER_MS = 2000;

export interface RelayOptions {
  /** Reads the beginning of the server's answer. It is empty, or rejects, if the server ended without one. */
  readAnswer(server: ByteSource): Promise<Uint8Array>;
  /** The answer for the client in that case. */
  onSilence(): Promise<Uint8Array>;
}

/** Resolves when both connections are closed. */
export async function relay(client: Deno.Conn, server: Deno.Conn, options: RelayOptions): Promise<void> {
  const upload = pump(client, server).then((end) => {
    if (end === "source_failed") closeBoth(client, server);
    else if (end === "source_ended") halfClose(server);
    // The server reads no more, for example after an early 413. Its answer is still on the way, so read on and discard.
    else return drain(client);
    return undefined;
  });
  const answer = await options.readAnswer(server).catch(() => new Uint8Array());
  const answered = answer.length > 0;
  const delivered = await writeAll(client, answered ? answer : await options.onSilence());
  const end = answered && delivered ? await pump(server, client) : "source_ended";
  if (end === "source_ended") await linger(client);
  closeBoth(client, server);
  await upload;
}

/**
 * Half-closes the connection and reads until the client closes too. A full close while the client still sends would
 * reset the connection, and the client could lose the answer.
 */
export async function linger(client: Deno.Conn): Promise<void> {
  halfClose(client);
  const timer = setTimeout(() => close(client), LINGER_MS);
  await drain(client);
  clearTimeout(timer);
}

type PumpEnd = "source_ended" | "source_failed" | "target_failed";

async function pump(source: Deno.Conn, target: Deno.Conn): Promise<PumpEnd> {
  const buffer = new Uint8Array(CHUNK_BYTES);
  while (true) {
    const count = await source.read(buffer).catch(() => undefined);
    if (count === undefined) return "source_failed";
    if (count === null) return "source_ended";
    if (!await writeAll(target, buffer.subarray(0, count))) return "target_failed";
  }
}

/** Returns whether all bytes were written. */
export async function writeAll(target: Deno.Conn, bytes: Uint8Array): Promise<boolean> {
  try {
    for (let sent = 0; sent < bytes.length;) sent += await target.write(bytes.subarray(sent));
    return true;
  } catch {
    return false;
  }
}

/** Reads until the end and discards everything. */
async function drain(source: Deno.Conn): Promise<void> {
  const buffer = new Uint8Array(CHUNK_BYTES);
  while ((await source.read(buffer).catch(() => null)) !== null);
}

function halfClose(connection: Deno.Conn): void {
  connection.closeWrite().catch(() => {});
}

function closeBoth(first: Deno.Conn, second: Deno.Conn): void {
  close(first);
  close(second);
}

/** Closes a connection that may already be closed. */
export function close(connection: Deno.Conn): void {
  try {
    connection.close();
  } catch {
    // It was already closed.
  }
}
