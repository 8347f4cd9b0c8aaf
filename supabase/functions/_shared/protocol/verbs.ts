/** The verbs of a `command`, and what `help` says of each. `client_frames.ts` has the shapes of their arguments. */
export const VERBS = {
  help: "Lists the commands",
  ping: "Answers pong",
  auth: "Authenticates this connection, or renews its token: {token}",
  status: "Tells what the session is doing",
  history: "Reads the conversation back, newest page first: {limit, before_seq}",
  clear: "Starts afresh: the model forgets the conversation so far",
  cancel: "Stops the running answer, or a query by its id, or all: {id} or {all}",
  configure: "Sets defaults for this session's queries: {model, temperature, max_tokens, stream}",
  sessions: "Lists your sessions, newest first: {limit, before}",
  delete: "Deletes this session and all it holds",
} as const;

export type Verb = keyof typeof VERBS;

/** The verbs that destroy something. */
const DESTRUCTIVE: ReadonlySet<Verb> = new Set(["clear", "cancel", "delete"]);

/** Whether a verb destroys something: its arguments are then checked to the last one. */
export function isDestructive(verb: Verb): boolean {
  return DESTRUCTIVE.has(verb);
}
