/** The verbs of a `command`, each with its text in `help`. `client_frames.ts` has the shapes of their arguments. */
export const VERBS = {
  help: "Lists the commands",
  ping: "Answers with pong",
  auth: "Authenticates this connection, or renews its token: {token}",
  status: "Shows the state of the session",
  history: "Returns the conversation, newest page first: {limit, before_seq}",
  clear: "Hides the conversation so far from the model",
  cancel: "Stops the running answer, one query, or all queries: {id} or {all}",
  configure: "Sets defaults for this session's queries: {model, temperature, max_tokens, reasoning, stream}",
  sessions: "Lists your conversations, most recently active first: {limit, before, search, archived}",
  rename: "Sets the title of a conversation: {title, session_id}",
  archive: "Moves a conversation into the archive, or back: {archived, session_id}",
  delete: "Deletes a conversation, by default this one, and all its data: {session_id}",
} as const;

export type Verb = keyof typeof VERBS;

/** The verbs that discard data or an answer. */
const DESTRUCTIVE: ReadonlySet<Verb> = new Set(["clear", "cancel", "delete"]);

/** Whether a verb is destructive. Such a verb refuses unknown arguments. */
export function isDestructive(verb: Verb): boolean {
  return DESTRUCTIVE.has(verb);
}
