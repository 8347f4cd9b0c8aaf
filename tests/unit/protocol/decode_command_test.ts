import assert from "node:assert/strict";
import { type Verb, VERBS } from "../../../supabase/functions/_shared/protocol/verbs.ts";
import { frameOf, refusal } from "../../support/decoding.ts";

/** For each verb: arguments that it accepts, with the decoded result, and arguments that it refuses. */
const ARGS: Record<Verb, { good: object[]; wrong: [args: unknown, message: string][] }> = {
  help: { good: [], wrong: [] },
  ping: { good: [], wrong: [] },
  auth: {
    good: [{ token: "ey" }],
    wrong: [[{}, '"args.token" must be a string'], [{ token: "" }, '"args.token" must not be empty']],
  },
  status: { good: [], wrong: [] },
  history: {
    good: [{}, { limit: 1 }, { limit: 200, before_seq: 1 }],
    wrong: [
      [{ limit: 0 }, '"args.limit" must be from 1 to 200'],
      [{ limit: 201 }, '"args.limit" must be from 1 to 200'],
      [{ limit: "5" }, '"args.limit" must be a whole number'],
      [{ before_seq: 0 }, '"args.before_seq" must be 1 or more'],
      [{ before_seq: 1.5 }, '"args.before_seq" must be a whole number'],
    ],
  },
  clear: { good: [{}], wrong: [[{ before: 3 }, '"args" must not have "before", known: none']] },
  cancel: {
    good: [{}, { id: "q1" }, { all: true }, { id: "q1", all: false }],
    wrong: [
      [{ all: 1 }, '"args.all" must be true or false'],
      [{ query_id: "q1" }, '"args" must not have "query_id", known: "id", "all"'],
      [{ id: "q1", turn_id: "t1" }, '"args" must not have "turn_id", known: "id", "all"'],
      [{ ["x".repeat(99)]: 1 }, `"args" must not have "${"x".repeat(64)}", known: "id", "all"`],
      [{ id: "q1", all: true }, '"args" must have "id" or "all", not both'],
    ],
  },
  configure: {
    good: [{}, { model: "m", temperature: 0, max_tokens: 1, reasoning: { effort: "none" }, stream: true }],
    wrong: [
      [
        { reasoning: { effort: "max" } },
        '"args.reasoning.effort" must be none, minimal, low, medium, high or xhigh',
      ],
      [{ temperature: 3 }, '"args.temperature" must be from 0 to 2'],
      [{ stream: "yes" }, '"args.stream" must be true or false'],
    ],
  },
  sessions: {
    good: [{}, { limit: 5, before: "s" }, { search: "two words", archived: true }],
    wrong: [
      [{ limit: -1 }, '"args.limit" must be from 1 to 200'],
      [{ search: "" }, '"args.search" must not be empty'],
      [{ search: "x".repeat(201) }, '"args.search" must have at most 200 characters'],
      [{ archived: "no" }, '"args.archived" must be true or false'],
    ],
  },
  rename: {
    good: [{ title: "New" }, { title: "New", session_id: "s" }],
    wrong: [
      [{}, '"args.title" must be a string'],
      [{ title: " \0\n" }, '"args.title" must not be empty'],
      [{ title: "x".repeat(201) }, '"args.title" must have at most 200 characters'],
      [{ title: "x", id: "s" }, '"args" must not have "id", known: "title", "session_id"'],
    ],
  },
  archive: {
    good: [{}, { archived: false }, { archived: true, session_id: "s" }],
    wrong: [
      [{ archived: 1 }, '"args.archived" must be true or false'],
      [{ session: "s" }, '"args" must not have "session", known: "archived", "session_id"'],
    ],
  },
  delete: {
    good: [{}, { session_id: "s" }],
    wrong: [[{ session: "s" }, '"args" must not have "session", known: "session_id"']],
  },
};

for (const verb of Object.keys(VERBS) as Verb[]) {
  Deno.test(`[FR11] [FR13] args of ${verb} are checked`, () => {
    const { good, wrong } = ARGS[verb];
    for (const args of good) {
      assert.deepEqual(frameOf({ type: "command", content: verb, id: "c1", args }), {
        type: "command",
        verb,
        id: "c1",
        args,
      });
    }
    const notObjects: [unknown, string][] = [[[], '"args" must be an object'], [
      "a",
      '"args" must be an object',
    ]];
    for (const [args, message] of [...notObjects, ...wrong]) {
      assert.deepEqual(refusal({ type: "command", content: verb, id: "c1", args }), {
        code: "invalid_args",
        message: `Cannot run ${verb}: ${message}`,
        inReplyTo: "c1",
      });
    }
  });
}

Deno.test("[FR11] args may be left out, and space around the verb does no harm", () => {
  for (const content of ["help", " help\n"]) {
    for (const args of [undefined, null]) {
      const frame = frameOf({ type: "command", content, args });
      assert.deepEqual(frame, { type: "command", verb: "help", id: undefined, args: {} });
    }
  }
});

Deno.test("[FR11] an unknown verb is told the known ones", () => {
  for (const content of ["Help", "help me", "__proto__", "constructor", "toString", "hasOwnProperty"]) {
    assert.deepEqual(refusal({ type: "command", content, id: "c1" }), {
      code: "unknown_command",
      message: 'Cannot run command: "content" must be one of ' +
        "help, ping, auth, status, history, clear, cancel, configure, sessions, rename, archive, delete",
      inReplyTo: "c1",
    });
  }
});

Deno.test("[FR13] what a verb destroys is named in its args, and nowhere else", () => {
  for (const verb of ["clear", "cancel", "delete"]) {
    for (const name of ["query_id", "queryId", "turn_id", "session_id", "sessionId", "all"]) {
      assert.deepEqual(refusal({ type: "command", content: verb, id: "c1", [name]: "x" }), {
        code: "invalid_args",
        message: `Cannot run ${verb}: "${name}" must not be beside "args"`,
        inReplyTo: "c1",
      });
    }
    assert.ok(frameOf({ type: "command", content: verb, id: "c1", timestamp: "now", trace: 1 }));
  }
});

Deno.test("[FR7] [FR13] a verb that destroys nothing ignores what it does not know", () => {
  for (const verb of ["help", "ping", "status", "history", "configure", "sessions"]) {
    const frame = frameOf({ type: "command", content: verb, session_id: "s", args: { query_id: "q" } });
    assert.deepEqual(frame, { type: "command", verb, id: undefined, args: {} });
  }
});
