/** A bare Deno socket: the cost of a connection without any state for it. */

Deno.serve((request) => {
  const { socket, response } = Deno.upgradeWebSocket(request);
  socket.onopen = () => socket.send(JSON.stringify({ type: "notification", content: "connected" }));
  socket.onmessage = () => {};
  socket.onclose = () => {};
  return response;
});
