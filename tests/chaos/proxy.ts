/** Lines between a client and the gateway that break: each TCP connection is cut at a randomly chosen byte. */

/** How one connection breaks. `freeze`: no bytes pass any more, and neither side is notified for a while. */
export interface Fate {
  kind: "cut" | "freeze";
  direction: "up" | "down";
  /** How many bytes pass in that direction before it happens. */
  afterBytes: number;
}

export interface LineOptions {
  targetPort: number;
  /** Called for each connection; undefined if it should not break. */
  nextFate(): Fate | undefined;
  onFate(fate: Fate): void;
}

export interface Line {
  port: number;
  /** Cuts open connections, and accepts no more. */
  close(): void;
}

const CHUNK_BYTES = 16 * 1024;
const FREEZE_MS = 8000;

export function openLine({ targetPort, nextFate, onFate }: LineOptions): Line {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const open = new Set<() => void>();
  (async () => {
    for await (const client of listener) void join(client);
  })().catch(() => {});

  async function join(client: Deno.TcpConn): Promise<void> {
    const server = await Deno.connect({ hostname: "127.0.0.1", port: targetPort }).catch(() => undefined);
    let timer: ReturnType<typeof setTimeout> | undefined;
    const end = (): void => {
      clearTimeout(timer);
      open.delete(end);
      for (const side of [client, server]) closeQuietly(side);
    };
    if (server === undefined) return end();
    open.add(end);
    client.setNoDelay();
    server.setNoDelay();
    const fate = nextFate();
    let isFrozen = false;
    const pump = async (source: Deno.TcpConn, target: Deno.TcpConn, bytesLeft: number): Promise<void> => {
      const buffer = new Uint8Array(CHUNK_BYTES);
      for (;;) {
        const count = await source.read(buffer);
        if (isFrozen && count !== null) continue;
        if (count === null) return isFrozen ? undefined : await target.closeWrite();
        await writeAll(target, buffer.subarray(0, Math.min(count, bytesLeft)));
        bytesLeft -= count;
        if (bytesLeft > 0 || fate === undefined) continue;
        onFate(fate);
        if (fate.kind === "cut") return end();
        isFrozen = true;
        timer = setTimeout(end, FREEZE_MS);
      }
    };
    const budget = (direction: Fate["direction"]): number =>
      fate?.direction === direction ? fate.afterBytes : Infinity;
    const failed = (): void => end();
    await Promise.all([
      pump(client, server, budget("up")).catch(failed),
      pump(server, client, budget("down")).catch(failed),
    ]);
    end();
  }

  return {
    port: listener.addr.port,
    close: () => {
      listener.close();
      for (const end of [...open]) end();
    },
  };
}

async function writeAll(target: Deno.TcpConn, bytes: Uint8Array): Promise<void> {
  for (let sent = 0; sent < bytes.length;) sent += await target.write(bytes.subarray(sent));
}

function closeQuietly(connection: Deno.Conn | undefined): void {
  try {
    connection?.close();
  } catch {
    // It was already closed.
  }
}
