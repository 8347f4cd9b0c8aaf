/** A bare Deno socket: what a connection costs before anybody keeps anything for it. */

Deno.serve((request) => {
  const { socket, response } = Deno.upgradeWebSocket(request);
  socket.onopen = () => socket.send(JSON.stringify({ type: "notification", content: "connected" }));
  socket.onmessage = () => {};
  socket.onclose = () => {};
  return response;
});
