/** An attacker who knows another user's session id, and tries it with all credentials they have. */

import type { Random } from "./random.ts";
import type { Frame } from "./frames.ts";
import type { AttackRecord } from "./records.ts";
import { hold } from "./visit_socket.ts";
import type { World } from "./world.ts";

const WAYS = [
  "no token",
  "a wrong resume token",
  "another user's token",
  "a malformed resume token",
] as const;

/** Undefined if the server could not be reached, or sent no answer. */
export async function attack(
  world: World,
  random: Random,
  over: AbortSignal,
): Promise<AttackRecord | undefined> {
  const target = world.sessions[random.int(0, world.sessions.length - 1)];
  const how = random.pick(WAYS);
  if (target === undefined) return undefined;
  const protocols = ["agent-websocket.v1"];
  if (how === "another user's token") protocols.push(`jwt-${await world.stack.token()}`);
  if (how === "a wrong resume token") protocols.push(`resume-${wrongToken(random)}`);
  if (how === "a malformed resume token") protocols.push("resume-x");
  const query = new URLSearchParams({ session_id: target, last_seq: "0", stream: "true" });
  const given = new AbortController();
  let record: AttackRecord | undefined;
  await hold(`${world.stack.wsUrl}/functions/v1/agent_websocket?${query}`, {
    protocols,
    signal: AbortSignal.any([given.signal, over, AbortSignal.timeout(10_000)]),
    onText: (text) => {
      const { code, session_id: sessionId = "", resumed }: Frame = JSON.parse(text);
      if (code === "connected") record = { target, how, reason: resumed?.reason, sessionId };
      given.abort();
    },
  });
  return record;
}

/** A token of the correct format: 256 bits, as base64url. */
function wrongToken(random: Random): string {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  return Array.from({ length: 43 }, () => alphabet[random.int(0, 63)]).join("");
}
