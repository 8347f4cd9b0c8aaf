/** Information about the stack, for the page and the terminal. */

/** `GET /playground/stack.json`. */
export interface StackInfo {
  /** Such as `http://127.0.0.1:54321`. */
  url: string;
  /** Names of the functions. */
  functions: readonly string[];
  /** A description of the model that answers. */
  model: string;
  authMode: string;
  publishableKey: string;
  /** The secret key, if it is the well-known one. */
  secretKey?: string;
  /** Whether `/auth/v1` and `/rest/v1` are served. */
  lite: boolean;
  /** The path of the live activity, below the function's path. */
  activityPath: string;
  /** A command to paste into a terminal. */
  wscat: string;
}

/** A command to paste into a terminal. */
export function wscatLine(url: string): string {
  return `npx -y wscat -c "${url.replace(/^http/, "ws")}/functions/v1/agent_websocket?stream=true"`;
}
