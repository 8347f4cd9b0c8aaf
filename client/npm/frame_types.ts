/** The frame types as TypeScript text, from docs/schema.json: the npm package contains neither server code nor zod. */

/** The part of JSON Schema that the frames use. */
interface Schema {
  description?: string;
  const?: string | number | boolean;
  enum?: (string | number)[];
  type?: string;
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: Schema;
  items?: Schema;
}

/** Definitions by name, as in docs/schema.json. */
export type Definitions = Readonly<Record<string, Schema>>;

/** The exports of `client/frames.ts`, each with the name of its definition. */
const FRAMES: readonly [name: string, definition: string, left: readonly string[]][] = [
  ["NotificationFrame", "Notification", []],
  ["StatusFrame", "Status", []],
  ["DeltaFrame", "Delta", []],
  ["ReasoningFrame", "Reasoning", []],
  ["ResponseFrame", "Response", []],
  ["QueryShownFrame", "QueryShown", []],
  ["ErrorFrame", "Error", []],
  ["ToolCallFrame", "Tool_call", []],
  ["ApprovalRequestedFrame", "Approval_requested", []],
  ["ApprovalDecidedFrame", "Approval_decided", []],
  ["ToolStartedFrame", "Tool_started", []],
  ["ToolResultFrame", "Tool_result", []],
  ["HeartbeatFrame", "Heartbeat", []],
  ["QueryFields", "Query", ["type", "content", "id"]],
  ["Feedback", "HumanFeedback", ["type", "id"]],
];
const SERVER_FRAMES = FRAMES.map(([name]) => name).filter((name) => name.endsWith("Frame"));

/** The declarations of `frames.d.ts`. */
export function frameTypes(definitions: Definitions): string {
  const named = FRAMES.map(([name, definition, left]) => {
    const schema = definitions[definition] ?? {};
    return `${comment(schema, "")}export type ${name} = ${typeOf(schema, "", left)};`;
  });
  const commands = Object.entries(definitions).filter(([name]) => /^Command./.test(name))
    .map(([, { description, properties = {} }]) => ({
      verb: String(properties.content?.const),
      description,
      args: properties.args ?? {},
    })).filter(({ verb }) => verb !== "auth")
    .map(({ verb, description, args }) =>
      `${comment({ description }, "  ")}  ${verb}: ${typeOf(args, "  ")};`
    );
  return [
    "/** The frames of docs/PROTOCOL.md. Written by the build, from the schemas of the server. */",
    ...named,
    "/** Any frame the server sends. */",
    `export type ServerFrame = ${SERVER_FRAMES.join(" | ")};`,
    "/** Why something was refused or has failed. */",
    `export type ErrorCode = ErrorFrame["code"];`,
    "/** The commands that a caller may give, each with its arguments. */",
    `export interface Commands {\n${commands.join("\n")}\n}`,
    "",
  ].join("\n");
}

function typeOf(schema: Schema, indent: string, left: readonly string[] = []): string {
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum !== undefined) return schema.enum.map((one) => JSON.stringify(one)).join(" | ");
  switch (schema.type) {
    case "integer":
      return "number";
    case "array":
      return `(${typeOf(schema.items ?? {}, indent)})[]`;
    case "object":
      return objectOf(schema, indent, left);
    default:
      return schema.type ?? "unknown";
  }
}

function objectOf(schema: Schema, indent: string, left: readonly string[]): string {
  const { properties, required = [], additionalProperties } = schema;
  if (properties === undefined) return `Record<string, ${typeOf(additionalProperties ?? {}, indent)}>`;
  const deeper = `${indent}  `;
  const lines = Object.entries(properties).filter(([name]) => !left.includes(name)).map(
    ([name, property]) => {
      const isRequired = required.includes(name);
      const type = typeOf(property, deeper);
      // A caller may write undefined to omit a property, also with exactOptionalPropertyTypes.
      return `${comment(property, deeper)}${deeper}${name}${isRequired ? "" : "?"}: ${type}${
        isRequired ? "" : " | undefined"
      };`;
    },
  );
  return lines.length === 0 ? "Record<string, never>" : `{\n${lines.join("\n")}\n${indent}}`;
}

function comment(
  { description }: Pick<Schema, "description"> | { description: undefined },
  indent: string,
): string {
  return description === undefined ? "" : `${indent}/** ${description} */\n`;
}
