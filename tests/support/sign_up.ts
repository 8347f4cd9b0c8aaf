/** A new user of the project, with a token that both the functions and the REST API verify. */

import type { LocalStack } from "../../local/stack.ts";

/** Returns the access token. */
export async function signUp({ url, keys }: Pick<LocalStack, "url" | "keys">): Promise<string> {
  const email = `${crypto.randomUUID()}@example.com`;
  const response = await fetch(`${url}/auth/v1/signup`, {
    method: "POST",
    headers: { apikey: keys.publishableKey, "content-type": "application/json" },
    body: JSON.stringify({ email, password: crypto.randomUUID() }),
  });
  if (!response.ok) throw new Error(`Cannot sign up: HTTP ${response.status}: ${await response.text()}`);
  const { access_token: token } = await response.json();
  return token;
}
