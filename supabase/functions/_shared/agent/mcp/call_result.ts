/** The result of a call of an MCP server, as data for the model. */

import { isObject } from "../input_schema.ts";

/**
 * What the model gets: the structured content, else the texts. Images and the like are named, and not sent.
 */
export function readResult(
  result: Readonly<Record<string, unknown>>,
): { data: unknown } | { problem: string } {
  const { content, structuredContent, isError } = result;
  const text = (Array.isArray(content) ? content : []).map(partText).join("\n");
  if (isError === true) return { problem: text.trim() === "" ? "the server gave no reason" : text };
  return { data: structuredContent ?? text };
}

function partText(part: unknown): string {
  if (!isObject(part)) return "[unknown]";
  const { type, text, mimeType, uri, resource } = part;
  if (type === "text" && typeof text === "string") return text;
  if (type === "resource" && isObject(resource)) {
    return typeof resource.text === "string" ? resource.text : `[resource ${named(resource.uri)}]`;
  }
  if (type === "resource_link") return `[resource ${named(uri)}]`;
  return `[${named(type)} ${named(mimeType)}]`;
}

function named(value: unknown): string {
  return typeof value === "string" ? value.slice(0, 200) : "of unknown kind";
}
