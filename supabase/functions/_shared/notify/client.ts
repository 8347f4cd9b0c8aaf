/**
 * For your other functions: push a notification to connected clients.
 *
 * ```ts
 * const notify = createNotifyClient({ supabaseUrl: "https://…", secretKey: "sb_secret_…", fetch });
 * await notify({ session_id: "…", message: "Your report is ready" });
 * ```
 */

/** The body of a post to `notify_websocket`: one target and what to say. docs/PROTOCOL.md has the rules. */
export type Notify =
  & { id?: string; source?: string }
  & (
    | ({ session_id: string } | { user_id: string } | { broadcast: true }) & {
      message: string | {
        content: string;
        code?: string;
        data?: Record<string, unknown>;
        type?: "notification" | "status";
      };
    }
    | { activity: Record<string, unknown> }
  );

/** That it is on its way. */
export interface Notified {
  id: string;
  durable: boolean;
  repeated?: true;
}

/**
 * `notify_websocket` refused it, or the outcome is in doubt: see `status`, `code` and `message`. With an `id` the
 * same may be sent again under that id: if it was sent after all, it is not sent twice.
 */
export class NotifyError extends Error {
  override readonly name = "NotifyError";
  readonly status: number;
  readonly code: string;
  readonly id: string | undefined;

  constructor(
    status: number,
    { code = "unknown", detail = "no reason given", id }: { code?: string; detail?: string; id?: string },
  ) {
    super(`Cannot notify: HTTP ${status}: ${detail}`);
    this.status = status;
    this.code = code;
    this.id = id;
  }
}

export interface NotifyClientOptions {
  /** The project's URL: `SUPABASE_URL`. */
  supabaseUrl: string;
  /** A secret key: one of `SUPABASE_SECRET_KEYS`, or the older `SUPABASE_SERVICE_ROLE_KEY`. */
  secretKey: string;
  fetch: typeof fetch;
}

/** Answers a function that sends one notification. It rejects with a {@linkcode NotifyError}, or as `fetch` does. */
export function createNotifyClient(
  { supabaseUrl, secretKey, fetch }: NotifyClientOptions,
): (notify: Notify) => Promise<Notified> {
  const url = `${supabaseUrl.replace(/\/+$/, "")}/functions/v1/notify_websocket`;
  return async (notify) => {
    const response = await fetch(url, {
      method: "POST",
      headers: { "apikey": secretKey, "content-type": "application/json" },
      body: JSON.stringify(notify),
    });
    const body = await response.json();
    if (!response.ok) throw new NotifyError(response.status, body);
    return body;
  };
}
