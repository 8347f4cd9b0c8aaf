/** A Realtime that violates its protocol. */

/** A server that accepts every join and every message, then runs `afterJoin`. */
export function openStrangeServer(
  afterJoin: (socket: WebSocket) => void,
): AsyncDisposable & { supabaseUrl: string } {
  const sockets = new Set<WebSocket>();
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    if (request.method === "POST") return new Response(null, { status: 202 });
    const { socket, response } = Deno.upgradeWebSocket(request);
    sockets.add(socket);
    socket.onclose = () => sockets.delete(socket);
    socket.onmessage = ({ data }) => {
      const [joinRef, ref, topic, event] = JSON.parse(data);
      if (event !== "phx_join") return;
      const reply = { status: "ok", response: { postgres_changes: [] } };
      socket.send(JSON.stringify([joinRef, ref, topic, "phx_reply", reply]));
      afterJoin(socket);
    };
    return response;
  });
  return {
    supabaseUrl: `http://127.0.0.1:${server.addr.port}`,
    async [Symbol.asyncDispose](): Promise<void> {
      for (const socket of sockets) socket.close();
      await server.shutdown();
    },
  };
}
