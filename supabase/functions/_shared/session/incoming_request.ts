/** What a connection begins with. */

import type { ConnectRequest } from "../protocol/connect_request.ts";

/** The client's handshake parameters and address. */
export interface IncomingRequest extends ConnectRequest {
  /** The key of its limits until the user is known: see `guard/address.ts`. */
  address: string;
  /** Whether its socket is a part of one that counts as the connection: see `carriers.ts`. */
  isCarried?: boolean;
}
