/** A handler that is made when the first request comes: nothing happens on import. */

import { ConfigError } from "../config.ts";
import type { PeerInfo } from "../guard/address.ts";
import type { Log } from "../ports/runtime.ts";
import { problem } from "./problems.ts";

/** A handler for `Deno.serve`. */
export type Handler = (request: Request, peer?: PeerInfo) => Response | Promise<Response>;

/**
 * Makes the handler once. Mistakes in the environment are named in one line of the log, and every request is answered
 * `503`; anything else that `make` throws is thrown on.
 */
export function onFirstRequest(make: () => Handler, log: () => Log): Handler {
  let handler: Handler | undefined;
  return (request, peer) => (handler ??= start(make, log))(request, peer);
}

function start(make: () => Handler, log: () => Log): Handler {
  try {
    return make();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    log().write({ level: "error", event: "config_invalid", problems: error.problems });
    const detail = "Cannot start: see the function's log for its configuration";
    return () => problem({ status: 503, code: "misconfigured", detail });
  }
}
