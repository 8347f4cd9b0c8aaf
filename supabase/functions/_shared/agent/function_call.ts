/** A call of an edge function of the project: what `functionTool` does. */

import type { CallRights } from "./call_rights.ts";

/** Most bytes of an answer that are read. */
export const MAX_ANSWER_BYTES = 1_048_576;

export interface FunctionCall {
  name: string;
  input: unknown;
  idempotencyKey: string;
}

/** Posts the input. Rejects with words for the model where there is no good answer. */
export async function callFunction(
  { name, input, idempotencyKey }: FunctionCall,
  rights: CallRights,
): Promise<unknown> {
  const response = await rights.fetch(rights.functionUrl(name), {
    method: "POST",
    headers: { "content-type": "application/json", "idempotency-key": idempotencyKey },
    body: JSON.stringify(input),
    // The rights are for this function, not for where it sends its callers.
    redirect: "manual",
  });
  const text = await readText(response);
  const isJson = /\bjson\b/i.test(response.headers.get("content-type") ?? "");
  const answer = isJson ? parsed(text) : { value: text };
  if (!response.ok) {
    throw new Error(
      `the function answered HTTP ${response.status}${"value" in answer ? detailOf(answer.value) : ""}`,
    );
  }
  if (!("value" in answer)) throw new Error("the function answered with broken JSON");
  if (!isJson && /^\s*<(!doctype|html)\b/i.test(text)) {
    throw new Error("the function answered with a web page");
  }
  return text === "" ? null : answer.value;
}

function parsed(text: string): { value: unknown } | Record<string, never> {
  try {
    return { value: text === "" ? null : JSON.parse(text) };
  } catch {
    return {};
  }
}

/** Problem bodies say what was wrong, and the model may mend it. */
function detailOf(body: unknown): string {
  if (typeof body === "string") {
    return body === "" || body.trimStart().startsWith("<") ? "" : `: ${body.slice(0, 500)}`;
  }
  if (typeof body !== "object" || body === null) return "";
  for (const name of ["detail", "message", "error", "title"]) {
    const value: unknown = Reflect.get(body, name);
    if (typeof value === "string") return `: ${value}`;
  }
  return "";
}

async function readText(response: Response): Promise<string> {
  if (response.body === null) return "";
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  // Leaving the loop cancels the body.
  for await (const chunk of response.body) {
    bytes += chunk.byteLength;
    if (bytes > MAX_ANSWER_BYTES) {
      throw new Error(`the function answered with more than ${MAX_ANSWER_BYTES} bytes`);
    }
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}
