/** Who may read and write private topics. On the platform this is row level security on `realtime.messages`. */

import type { Claims } from "./tokens.ts";

export interface Access {
  /** As supabase-js names it: without `realtime:`. */
  topic: string;
  /** Of the token that was shown. */
  claims: Claims;
  /** `read`: to be a member. `write`: to broadcast. */
  action: "read" | "write";
}

export type Policy = (access: Access) => boolean;

/** What holds in a project without a policy of its own: the service role passes row level security, nobody else does. */
export const serviceRoleOnly: Policy = ({ claims }) => claims.role === "service_role";
