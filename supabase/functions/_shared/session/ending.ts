/** How a session ends at a worker. */

import { CLOSE, type Closing } from "../protocol/close_codes.ts";

/** The error for its queries, and the close code of its connections. */
export interface Ending {
  refusal: string;
  retryable: boolean;
  closing: Closing;
}

export const DELETED: Ending = {
  refusal: "Cannot take query: the session was deleted",
  retryable: false,
  closing: CLOSE.sessionDeleted,
};
export const EXPIRED: Ending = {
  refusal: "Cannot take query: the session has expired",
  retryable: true,
  closing: CLOSE.sessionTimeout,
};
