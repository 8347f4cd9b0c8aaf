import { MemoryStore } from "../../supabase/functions/_shared/session/memory_store.ts";
import { ManualClock } from "../support/manual_clock.ts";
import { holdsSessionStore } from "./session_store_suite.ts";

holdsSessionStore("MemoryStore", (options) => {
  const clock = new ManualClock();
  return Promise.resolve({ clock, store: new MemoryStore({ clock, ...options }) });
});
