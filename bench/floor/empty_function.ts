/** A function that only imports what any agent needs, and sends one frame. */

import { createParser } from "eventsource-parser";
import * as z from "zod";

Deno.serve((request) => {
  const { socket, response } = Deno.upgradeWebSocket(request);
  const imported = typeof createParser === typeof z.object;
  socket.onopen = () => socket.send(JSON.stringify({ type: "notification", content: "connected", imported }));
  return response;
});
