/** Who may read and write private topics. On the platform this is row level security on `realtime.messages`. */

import { RELAY_PREFIX } from "../../supabase/functions/_shared/protocol/topics.ts";
import type { Claims } from "./tokens.ts";

export interface Access {
  /** As supabase-js names it: without `realtime:`. */
  topic: string;
  /** The claims of the token. */
  claims: Claims;
  /** `read`: to be a member. `write`: to broadcast. */
  action: "read" | "write";
}

export type Policy = (access: Access) => boolean;

/**
 * No policy of the project may open the relay's topics. This is what `supabase/migrations` adds to the project's
 * policies.
 */
export function withRelayClosed(policy: Policy): Policy {
  return (access) => (!access.topic.startsWith(RELAY_PREFIX) || serviceRoleOnly(access)) && policy(access);
}

/** The rule in a project without its own policies: only the service role passes row level security. */
export const serviceRoleOnly: Policy = ({ claims }) => claims.role === "service_role";
