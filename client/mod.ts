/** What the npm package exports. */

export { AgentClient } from "./client.ts";
export { AgentClientError, type ClientErrorCode, type UnsentQuery } from "./error.ts";
export type {
  Commands,
  ErrorCode,
  ErrorFrame,
  Feedback,
  NotificationFrame,
  ResponseFrame,
  ServerFrame,
  StatusFrame,
} from "./frames.ts";
export type {
  AgentClientOptions,
  AskOptions,
  ClientEvents,
  ClientStatus,
  Closing,
  Opened,
  SessionInfo,
  TokenReason,
} from "./options.ts";
export type { Clock, CursorStorage, SocketConstructor, SocketLike, WakeSource } from "./ports.ts";
export {
  type AgentEventRow,
  type AgentMessageMetadata,
  type AgentUIMessage,
  type AgentUIPart,
  toUIMessages,
} from "./ui_messages.ts";
export type { Answer, Piece, Turn, TurnState } from "./turn.ts";
