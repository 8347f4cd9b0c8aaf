/** Information about the stack, for the page and the terminal. */

/** `GET /playground/stack.json`. */
export interface StackInfo {
  /** Such as `http://127.0.0.1:54321`. */
  url: string;
  /** Names of the functions. */
  functions: readonly string[];
  /** Which model answers, in words. */
  model: string;
  authMode: string;
  publishableKey: string;
  /** The secret key, if it is the one that everybody knows. */
  secretKey?: string;
  /** Whether `/auth/v1` and `/rest/v1` are served. */
  lite: boolean;
  /** The path of the live activity, after the function's own. */
  activityPath: string;
  /** What to paste into a terminal. */
  wscat: string;
}

/** What to paste into a terminal. */
export function wscatLine(url: string): string {
  return `npx -y wscat -c "${url.replace(/^http/, "ws")}/functions/v1/agent_websocket?stream=true"`;
}
