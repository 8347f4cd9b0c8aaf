/** Pushes a notification into a session, like another function of the project. Retries until it is accepted. */

import { count } from "./tally.ts";
import type { World } from "./world.ts";

const ATTEMPTS = 8;
const PAUSE_MS = 300;

/** Returns whether it was accepted, and is in the log. */
export async function notify(
  { stack, tally }: Pick<World, "stack" | "tally">,
  body: { session_id: string; id: string; message: string },
): Promise<boolean> {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const taken = await post(stack, body).catch(() => undefined);
    if (taken?.status === 202) {
      tally.notices++;
      return taken.durable;
    }
    count(tally.refusals, `notify ${taken?.status ?? "cut"}`);
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
  return false;
}

async function post(
  { url, keys }: World["stack"],
  body: Readonly<Record<string, string>>,
): Promise<{ status: number; durable: boolean }> {
  const response = await fetch(`${url}/functions/v1/notify_websocket`, {
    method: "POST",
    headers: { apikey: keys.secretKey, "content-type": "application/json" },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(10_000),
  });
  const answer = await response.json();
  return { status: response.status, durable: answer.durable === true };
}
