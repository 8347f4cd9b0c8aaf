/** The machine-readable forms of the protocol, generated from the zod schemas, so that nothing is written twice. */

import * as z from "zod";
import { environment } from "../../supabase/functions/_shared/config.ts";
import {
  pingAction,
  subscribeAction,
  unsubscribeAction,
} from "../../supabase/functions/_shared/protocol/activity_actions.ts";
import {
  activityBatch,
  activityEvent,
  activitySubscribed,
} from "../../supabase/functions/_shared/protocol/activity_events.ts";
import { ACTIVITY_EVENT_TYPES } from "../../supabase/functions/_shared/protocol/activity_types.ts";
import {
  COMMAND_ARGS,
  commandFrame,
  feedbackFrame,
  queryFrame,
  toolResultFrame as clientToolResultFrame,
} from "../../supabase/functions/_shared/protocol/client_frames.ts";
import { serverFrame, shortFrame } from "../../supabase/functions/_shared/protocol/server_frames.ts";
import { type Verb, VERBS } from "../../supabase/functions/_shared/protocol/verbs.ts";
import { VERSION } from "../../supabase/functions/_shared/version.ts";

type JsonObject = Record<string, unknown>;

/** As on the wire: `type` is optional for a query, and `content` is not blank. */
const CLIENT_SCHEMAS: ReadonlyMap<string, z.ZodType> = new Map<string, z.ZodType>([
  [
    "Query",
    queryFrame.extend({
      type: queryFrame.shape.type.optional(),
      content: queryFrame.shape.content.regex(/\S/),
    }).describe("A question to the model"),
  ],
  ...Object.entries(COMMAND_ARGS).map(([verb, args]): [string, z.ZodType] => {
    const wanted = args.safeParse({}).success ? args.optional() : args;
    return [
      `Command${capitalised(verb)}`,
      commandFrame.extend({ content: z.literal(verb), args: wanted }).describe(VERBS[verb as Verb]),
    ];
  }),
  ["ClientToolResult", clientToolResultFrame.describe("The result of a tool that the client has run")],
  ["HumanFeedback", feedbackFrame.describe("Feedback on a turn: content, a verdict or a rating")],
]);

const SERVER_SCHEMAS: ReadonlyMap<string, z.ZodType> = new Map<string, z.ZodType>([
  ...serverFrame.options.map((frame): [string, z.ZodType] => {
    const { value } = frame.shape.type;
    return [value === "query" ? "QueryShown" : capitalised(value), frame];
  }),
  ...shortFrame.options.map((frame): [string, z.ZodType] => [
    `Short${capitalised(frame.shape.type.value)}`,
    frame.describe("Sent to connections with deltas=short only"),
  ]),
]);

/** Unknown type names are ignored, so the list may contain anything. */
const activityTypes = z.array(z.union([z.enum(ACTIVITY_EVENT_TYPES), z.unknown()]));

/** What a watcher of the live activity may send. */
const ACTION_SCHEMAS: ReadonlyMap<string, z.ZodType> = new Map<string, z.ZodType>([
  [
    "ActivitySubscribe",
    subscribeAction.extend({ types: activityTypes.optional() }).describe(
      "Adds event types; a watcher without types gets all",
    ),
  ],
  [
    "ActivityUnsubscribe",
    unsubscribeAction.extend({ types: activityTypes.optional() }).describe("Removes event types"),
  ],
  ["ActivityPing", pingAction.describe("Answered with a heartbeat, message pong")],
]);

/** One schema per event type, and those of the batch and of the reply to a subscription. */
const ACTIVITY_SCHEMAS: ReadonlyMap<string, z.ZodType> = new Map<string, z.ZodType>([
  ...activityEvent.options.map((event): [string, z.ZodType] => [activityName(event.shape.type.value), event]),
  [
    "ActivityBatch",
    activityBatch.describe("Several events, oldest first, for a watcher that subscribed with batch_ms"),
  ],
  [
    "ActivitySubscribed",
    activitySubscribed.describe("The answer to a subscribe with ack: the subscription in force"),
  ],
]);
const EVENT_NAMES: readonly string[] = ACTIVITY_EVENT_TYPES.map(activityName);
/** A refused watcher gets the same `error` frame as a client. */
const WATCHER_FRAMES: readonly string[] = [...ACTIVITY_SCHEMAS.keys(), "Error"];

/** docs/schema.json: one definition per frame, and the union for each direction of the two sockets. */
export function jsonSchema(): JsonObject {
  const anyOf = (description: string, names: Iterable<string>): JsonObject => ({
    description,
    anyOf: [...names].map((name) => ({ $ref: `#/$defs/${name}` })),
  });
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "Frames of Agent WebSocket, protocol 1",
    ...anyOf(
      "Both sides ignore unknown fields, except where additionalProperties is false. docs/PROTOCOL.md has the rules.",
      [
        "ClientFrame",
        "ServerFrame",
        "ActivityAction",
        "ActivityFrame",
      ],
    ),
    $defs: {
      ClientFrame: anyOf("Frames that a client may send", CLIENT_SCHEMAS.keys()),
      ServerFrame: anyOf("Frames that the server sends", SERVER_SCHEMAS.keys()),
      ActivityAction: anyOf("Actions that a watcher of the live activity may send", ACTION_SCHEMAS.keys()),
      ActivityFrame: anyOf("What the server sends to a watcher", WATCHER_FRAMES),
      ActivityEvent: anyOf("An activity event", EVENT_NAMES),
      ...frameSchemas("draft-2020-12", "#/$defs"),
    },
  };
}

/** docs/asyncapi.json: the server's side of the two channels, in AsyncAPI 3.0. */
export function asyncApi(): JsonObject {
  const agent = [...CLIENT_SCHEMAS.keys(), ...SERVER_SCHEMAS.keys()];
  const activity = [...ACTION_SCHEMAS.keys(), ...WATCHER_FRAMES];
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
        messages: channelMessages(agent),
        bindings: { ws: { method: "GET", query: CONNECT_QUERY } },
      },
      activity: {
        address: `/agent_websocket${environment.ACTIVITY_PATH(undefined)}`,
        description: "Live activity, as JSON text frames, one object each",
        messages: channelMessages(activity),
        bindings: {
          ws: { method: "GET", query: { type: "object", properties: { jwt: CONNECT_QUERY.properties.jwt } } },
        },
      },
    },
    operations: {
      receiveFrame: operation("receive", "agent", CLIENT_SCHEMAS.keys()),
      sendFrame: operation("send", "agent", SERVER_SCHEMAS.keys()),
      receiveAction: operation("receive", "activity", ACTION_SCHEMAS.keys()),
      sendActivity: operation("send", "activity", WATCHER_FRAMES),
    },
    components: {
      messages: Object.fromEntries(
        [...new Set([...agent, ...activity])].map((name) => [name, {
          name,
          payload: { $ref: `#/components/schemas/${name}` },
        }]),
      ),
      schemas: {
        ActivityEvent: { anyOf: EVENT_NAMES.map((name) => ({ $ref: `#/components/schemas/${name}` })) },
        ...frameSchemas("draft-7", "#/components/schemas"),
      },
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

/** The query parameters of the URL. `parseConnectRequest` reads them, and a test checks that both agree. */
export const CONNECT_QUERY = {
  type: "object",
  properties: {
    stream: { type: "boolean", default: false, description: "Whether the client wants deltas" },
    reasoning: {
      type: "boolean",
      default: false,
      description: "Whether the client wants the reasoning of the model",
    },
    deltas: {
      type: "string",
      enum: ["full", "short"],
      default: "full",
      description: "The form of delta and reasoning frames",
    },
    agent: { type: "string", description: "Which of the deployment's agents a new session has" },
    tools: {
      type: "boolean",
      default: false,
      description: "Whether the client wants frames of their own for tool calls",
    },
    heartbeat: { type: "boolean", default: false, description: "Whether the client wants heartbeat frames" },
    session_id: { type: "string", description: "The session to resume" },
    chat_id: {
      type: "string",
      minLength: 1,
      maxLength: 128,
      description: "The app's own id of a conversation, which is opened or created",
    },
    last_seq: {
      type: "integer",
      minimum: 0,
      default: 0,
      description: "The client's cursor: the newest seq that it has received",
    },
    resume_token: { type: "string", description: "The token that resumes an anonymous session" },
    jwt: { type: "string", description: "The user's token" },
  },
};

function channelMessages(names: Iterable<string>): JsonObject {
  return Object.fromEntries([...names].map((name) => [name, { $ref: `#/components/messages/${name}` }]));
}

function operation(action: "receive" | "send", channel: string, names: Iterable<string>): JsonObject {
  const messages = [...names].map((name) => ({ $ref: `#/channels/${channel}/messages/${name}` }));
  return { action, channel: { $ref: `#/channels/${channel}` }, messages };
}

/** `at` is the path of the definitions in the document: a batch refers to the events instead of repeating them. */
function frameSchemas(target: "draft-2020-12" | "draft-7", at: string): JsonObject {
  const all = [...CLIENT_SCHEMAS, ...SERVER_SCHEMAS, ...ACTION_SCHEMAS, ...ACTIVITY_SCHEMAS];
  return Object.fromEntries(all.map(([name, schema]) => {
    // As input, because frames may have more fields than the schema knows.
    const { $schema: _, "~standard": __, ...definition } = z.toJSONSchema(schema, {
      target,
      io: "input",
      override({ zodSchema, jsonSchema }): void {
        if (zodSchema !== activityEvent) return;
        for (const key of Object.keys(jsonSchema)) Reflect.deleteProperty(jsonSchema, key);
        jsonSchema.$ref = `${at}/ActivityEvent`;
      },
    });
    return [name, definition];
  }));
}

/** `session_event` becomes `ActivitySessionEvent`. */
function activityName(type: string): string {
  return `Activity${type.split("_").map(capitalised).join("")}`;
}

function capitalised(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1);
}
