/** The tools of an MCP server, as it lists them: read with distrust, one by one. */

import type { ToolSpec } from "../../ports/model.ts";
import { isObject, providerSchema } from "../input_schema.ts";
import { MCP_SEPARATOR, type McpOptions, type OfferedTool, type RefusedTool } from "../mcp_port.ts";

/** Longest description that is put before the model. */
const MAX_DESCRIPTION_CHARS = 1024;

/** One entry of a list; undefined where the developer has not allowed it. */
export function readTool(
  entry: unknown,
  { name: prefix, tools: allowed, approval = "auto" }: McpOptions,
): OfferedTool | RefusedTool | undefined {
  if (!isObject(entry) || typeof entry.name !== "string" || entry.name === "") {
    return { name: "", reason: "it has no name" };
  }
  const { name: serverName, description, title, inputSchema, execution } = entry;
  if (allowed !== undefined && !allowed.includes(serverName)) return undefined;
  const refuse = (reason: string): RefusedTool => ({ name: serverName.slice(0, 64), reason });
  const name = `${prefix === undefined ? "" : `${prefix}${MCP_SEPARATOR}`}${serverName}`
    .replaceAll(/[^a-zA-Z0-9_-]/g, "_");
  if (name.length > 64) return refuse("its name is longer than 64 characters");
  const schema = providerSchema(inputSchema, { closed: false });
  if ("problem" in schema) return refuse(`its input ${schema.problem}`);
  if (isObject(execution) && execution.taskSupport === "required") return refuse("it runs as a task only");
  const hints = isObject(entry.annotations) ? entry.annotations : {};
  const isReadOnly = hints.readOnlyHint === true;
  const text = [description, title].find((one) => typeof one === "string" && one.trim() !== "");
  return {
    spec: {
      name,
      description: typeof text === "string"
        ? text.slice(0, MAX_DESCRIPTION_CHARS).toWellFormed()
        : serverName,
      parameters: schema.parameters,
    },
    serverName,
    needsApproval: approval === "always" || (approval === "auto" && !isReadOnly),
    // A server that is not trusted is not trusted in this either.
    isIdempotent: approval !== "always" && (isReadOnly || hints.idempotentHint === true),
    problemWith: (input) => problemWith(input, schema.parameters),
  };
}

/**
 * What is required, and the types of the properties. No more: the validator of the SDK compiles the schema, and its patterns run
 * here, so a server could stop this worker.
 */
function problemWith(input: Record<string, unknown>, schema: ToolSpec["parameters"]): string | undefined {
  const problems: string[] = [];
  for (const name of Array.isArray(schema.required) ? schema.required : []) {
    if (typeof name === "string" && !Object.hasOwn(input, name)) {
      problems.push(`${name.slice(0, 64)} is missing`);
    }
  }
  const properties = isObject(schema.properties) ? schema.properties : {};
  for (const [name, property] of Object.entries(properties)) {
    if (!Object.hasOwn(input, name) || !isObject(property) || typeof property.type !== "string") continue;
    if (!isOfType(input[name], property.type)) {
      problems.push(`${name} must be of type ${property.type.slice(0, 64)}`);
    }
  }
  return problems.length === 0 ? undefined : `Cannot accept the input: ${problems.slice(0, 5).join("; ")}`;
}

function isOfType(value: unknown, type: string): boolean {
  switch (type) {
    case "integer":
      return Number.isInteger(value);
    case "array":
      return Array.isArray(value);
    case "object":
      return isObject(value);
    case "null":
      return value === null;
    case "string":
      return typeof value === "string";
    case "number":
      return typeof value === "number";
    case "boolean":
      return typeof value === "boolean";
    default:
      return true;
  }
}
