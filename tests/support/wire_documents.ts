/** The machine-readable forms of the protocol, made from the zod schemas: nothing in them is written twice. */

import * as z from "zod";
import {
  commandFrame,
  COMMANDS,
  feedbackFrame,
  queryFrame,
} from "../../supabase/functions/_shared/protocol/client_frames.ts";
import { serverFrame } from "../../supabase/functions/_shared/protocol/server_frames.ts";
import { VERSION } from "../../supabase/functions/_shared/version.ts";

type JsonObject = Record<string, unknown>;

/** As the wire has it: a query may leave its type out, and content is not blank. */
const CLIENT_SCHEMAS: ReadonlyMap<string, z.ZodType> = new Map<string, z.ZodType>([
  [
    "Query",
    queryFrame.extend({
      type: queryFrame.shape.type.optional(),
      content: queryFrame.shape.content.regex(/\S/),
    }).describe("A question to the model"),
  ],
  ...Object.entries(COMMANDS).map(([verb, { args, summary }]): [string, z.ZodType] => {
    const wanted = args.safeParse({}).success ? args.optional() : args;
    return [
      `Command${capitalised(verb)}`,
      commandFrame.extend({ content: z.literal(verb), args: wanted }).describe(summary),
    ];
  }),
  ["HumanFeedback", feedbackFrame.describe("What a person thinks of a turn; content, a verdict or a rating")],
]);

const SERVER_SCHEMAS: ReadonlyMap<string, z.ZodType> = new Map(
  serverFrame.options.map((frame) => {
    const { value } = frame.shape.type;
    return [value === "query" ? "QueryShown" : capitalised(value), frame];
  }),
);

/** docs/schema.json: one definition a frame, and `ClientFrame` and `ServerFrame` over them. */
export function jsonSchema(): JsonObject {
  const refs = (names: Iterable<string>): JsonObject[] =>
    [...names].map((name) => ({ $ref: `#/$defs/${name}` }));
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "Frames of Agent WebSocket, protocol 1",
    description: "Unknown fields are to be ignored by both sides. docs/PROTOCOL.md has the rules.",
    anyOf: refs(["ClientFrame", "ServerFrame"]),
    $defs: {
      ClientFrame: { description: "What a client may send", anyOf: refs(CLIENT_SCHEMAS.keys()) },
      ServerFrame: { description: "What the server sends", anyOf: refs(SERVER_SCHEMAS.keys()) },
      ...frameSchemas("draft-2020-12"),
    },
  };
}

/** docs/asyncapi.json: the server's side of the one channel, in AsyncAPI 3.0. */
export function asyncApi(): JsonObject {
  const messages = [...CLIENT_SCHEMAS.keys(), ...SERVER_SCHEMAS.keys()];
  const inChannel = (names: Iterable<string>): JsonObject[] =>
    [...names].map((name) => ({ $ref: `#/channels/agent/messages/${name}` }));
  return {
    asyncapi: "3.0.0",
    info: {
      title: "Agent WebSocket",
      version: VERSION,
      description:
        "An LLM agent behind one WebSocket on Supabase edge functions. docs/PROTOCOL.md has the rules.",
      license: { name: "MIT" },
    },
    defaultContentType: "application/json",
    servers: {
      supabase: {
        host: "{project}.supabase.co",
        pathname: "/functions/v1",
        protocol: "wss",
        variables: { project: { description: "The project's reference" } },
        security: [{ $ref: "#/components/securitySchemes/bearer" }, {
          $ref: "#/components/securitySchemes/jwt",
        }],
      },
      local: { host: "localhost:54321", pathname: "/functions/v1", protocol: "ws" },
    },
    channels: {
      agent: {
        address: "/agent_websocket",
        description: "JSON text frames, one object each",
        messages: Object.fromEntries(
          messages.map((name) => [name, { $ref: `#/components/messages/${name}` }]),
        ),
        bindings: { ws: { method: "GET", query: CONNECT_QUERY } },
      },
    },
    operations: {
      receiveFrame: {
        action: "receive",
        channel: { $ref: "#/channels/agent" },
        messages: inChannel(CLIENT_SCHEMAS.keys()),
      },
      sendFrame: {
        action: "send",
        channel: { $ref: "#/channels/agent" },
        messages: inChannel(SERVER_SCHEMAS.keys()),
      },
    },
    components: {
      messages: Object.fromEntries(
        messages.map((name) => [name, { name, payload: { $ref: `#/components/schemas/${name}` } }]),
      ),
      schemas: frameSchemas("draft-7"),
      securitySchemes: {
        bearer: { type: "http", scheme: "bearer", bearerFormat: "JWT" },
        jwt: {
          type: "httpApiKey",
          in: "query",
          name: "jwt",
          description: "For browsers; subprotocol jwt-<token> is the same",
        },
      },
    },
  };
}

/** What a client may put into the URL; `parseConnectRequest` reads it, and a test keeps the two together. */
export const CONNECT_QUERY = {
  type: "object",
  properties: {
    stream: { type: "boolean", default: false, description: "Whether deltas are wanted" },
    heartbeat: { type: "boolean", default: false, description: "Whether heartbeat frames are wanted" },
    session_id: { type: "string", description: "The session to resume" },
    last_seq: { type: "integer", minimum: 0, default: 0, description: "The newest seq the client has" },
    resume_token: { type: "string", description: "What resumes an anonymous session" },
    jwt: { type: "string", description: "The user's token" },
  },
};

function frameSchemas(target: "draft-2020-12" | "draft-7"): JsonObject {
  return Object.fromEntries([...CLIENT_SCHEMAS, ...SERVER_SCHEMAS].map(([name, schema]) => {
    // As input: what is sent may have more fields than are known.
    const { $schema: _, "~standard": __, ...definition } = z.toJSONSchema(schema, { target, io: "input" });
    return [name, definition];
  }));
}

function capitalised(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1);
}
