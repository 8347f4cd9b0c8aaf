import assert from "node:assert/strict";
import { type Verb, VERBS } from "../../../supabase/functions/_shared/protocol/verbs.ts";
import { frameOf, refusal } from "../../support/decoding.ts";

/** Arguments that each verb takes, with what is left of them, and arguments that it refuses. */
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
  clear: { good: [], wrong: [] },
  cancel: {
    good: [{}, { id: "q1" }, { all: true }],
    wrong: [[{ all: 1 }, '"args.all" must be true or false']],
  },
  configure: {
    good: [{}, { model: "m", temperature: 0, max_tokens: 1, stream: true }],
    wrong: [
      [{ temperature: 3 }, '"args.temperature" must be from 0 to 2'],
      [{ stream: "yes" }, '"args.stream" must be true or false'],
    ],
  },
  sessions: { good: [{}, { limit: 5 }], wrong: [[{ limit: -1 }, '"args.limit" must be from 1 to 200']] },
  delete: { good: [], wrong: [] },
};

for (const verb of Object.keys(VERBS) as Verb[]) {
  Deno.test(`[FR11] args of ${verb} are checked`, () => {
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
        "help, ping, auth, status, history, clear, cancel, configure, sessions, delete",
      inReplyTo: "c1",
    });
  }
});
