/** The first frame of a connection. */

import { stamp } from "../protocol/stamp.ts";
import type { NotificationFrame } from "../protocol/server_frames.ts";
import type { OpenedSession } from "./registry_options.ts";

export interface WelcomeOptions {
  /** Milliseconds since the epoch. */
  now: number;
  isDurable: boolean;
  limits: Readonly<Record<string, number>>;
}

export function howOpened({ resumed }: OpenedSession): "created" | "resumed" {
  return resumed === undefined || resumed.reason === "unknown_session" ? "created" : "resumed";
}

export function renderWelcome(
  connectionId: string,
  { session, resumeToken, resumed }: OpenedSession,
  { now, isDurable, limits }: WelcomeOptions,
): NotificationFrame {
  const { sessionId, chatId } = session.record;
  return {
    type: "notification",
    content: `Connected to Agent WebSocket. Session ID: ${sessionId}`,
    timestamp: stamp(now),
    code: "connected",
    session_id: sessionId,
    ...(chatId !== undefined && { chat_id: chatId }),
    connection_id: connectionId,
    ...(resumeToken !== undefined && { resume_token: resumeToken }),
    durable: isDurable,
    protocol: 1,
    limits,
    ...(resumed !== undefined && { resumed }),
  };
}
