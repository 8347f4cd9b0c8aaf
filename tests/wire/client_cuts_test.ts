/**
 * Hundreds of questions through the client, over connections that are cut at random bytes: with one worker, and with
 * workers that end after some answers. `CLIENT_TEST_SEED` repeats a run.
 */

import assert from "node:assert/strict";
import { AgentClient } from "../../client/client.ts";
import type { Turn } from "../../client/turn.ts";
import { obey } from "../../local/asked_to.ts";
import { CuttingProxy } from "../support/cutting_proxy.ts";
import { type Exchange, HandModel } from "../support/hand_model.ts";
import { type TestStack, type TestStackOptions, withLocalStack } from "../support/local_stack.ts";

const CLIENTS = 5;
/** Of a client. */
const QUERIES = { oneWorker: 100, endingWorkers: 50 };
const SEED = Number(Deno.env.get("CLIENT_TEST_SEED") ?? crypto.getRandomValues(new Uint32Array(1))[0]);
/**
 * The oldest worker ends after so many answers, however long they took: a lifetime in seconds would be too short for any
 * answer on a slow machine. Every fourth one is killed; the others are told, as at the end of their wall clock.
 */
const ANSWERS_PER_WORKER = 20;
const KILLED_EVERY = 4;
/** The interval between two words of the slow model. */
const WORD_MS = 6;
/** A connection lives for a few answers: an exchange takes about 1 KB, and so does the handshake. */
const MIN_BYTES = 1500;
const MAX_BYTES = 20_000;

/** Numbers from 0 to 1, determined by the seed (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function answerTo(question: string): string {
  return `You asked »${question}«, and this is all there is to be said about it 👩‍🔬.`;
}

function respond(exchange: Exchange): void {
  for (const word of answerTo(exchange.question).split(/(?<= )/)) exchange.say(word);
  exchange.finish();
}

/** The same answer word by word. Continues where another worker's answer stopped. */
function respondSlowly(exchange: Exchange): void {
  const words = obey(exchange.asked, answerTo(exchange.question)).split(/(?<= )/);
  const next = (): void => {
    const word = words.shift();
    if (word === undefined) return exchange.finish();
    exchange.say(word);
    setTimeout(next, WORD_MS);
  };
  next();
}

async function read(turn: Turn): Promise<string> {
  let text = "";
  for await (const piece of turn) text += piece;
  return text;
}

/** Sends all questions at once, and checks that every answer arrives once, complete and in order. */
async function ask(
  client: AgentClient,
  { name, queries, onAnswer }: { name: string; queries: number; onAnswer(): void },
): Promise<void> {
  const questions = Array.from({ length: queries }, (_, at) => `${name}, question ${at}`);
  const answered: string[] = [];
  client.on("message", (frame) => {
    if (frame.type !== "response") return;
    answered.push(frame.in_reply_to);
    onAnswer();
  });
  const turns = questions.map((question) => client.query(question));
  await Promise.all(turns.map(async (turn, at) => {
    const [text, { outcome, text: whole }] = await Promise.all([read(turn), turn.final]);
    assert.equal(whole, answerTo(questions[at] ?? ""));
    assert.equal(text, whole);
    assert.equal(outcome, "completed");
  }));
  assert.deepEqual(answered, turns.map(({ id }) => id));
}

interface Setting {
  model: HandModel;
  /** The number of queries of each client. */
  queries: number;
  options: Partial<TestStackOptions>;
  /** Called after every answer, with the number of answers so far. */
  onAnswer?(answers: number, stack: TestStack): void;
}

/** Returns how often the connections were cut. */
async function run({ model, queries, options, onAnswer = () => {} }: Setting): Promise<number> {
  const env = { AUTH_MODE: "none", RATE_LIMIT_PER_MINUTE: "0", ...options.env };
  const random = randomFrom(SEED);
  return await withLocalStack({ ...options, model: { baseUrl: model.baseUrl }, env }, async (stack) => {
    await using proxy = new CuttingProxy({
      port: Number(new URL(stack.url).port),
      bytes: () => MIN_BYTES + Math.floor(random() * (MAX_BYTES - MIN_BYTES)),
    });
    const clients = Array.from(
      { length: CLIENTS },
      () => new AgentClient(`http://127.0.0.1:${proxy.port}/functions/v1/agent_websocket`),
    );
    const trouble: string[] = [];
    for (const client of clients) client.on("error", (error) => trouble.push(error.message));
    let answers = 0;
    const count = (): void => onAnswer(++answers, stack);
    const asked = (at: number) => ({ name: `client ${at}`, queries, onAnswer: count });
    try {
      await Promise.all(clients.map((client, at) => ask(client, asked(at))));
    } finally {
      for (const client of clients) client.close();
    }
    assert.deepEqual(trouble, []);
    return proxy.cuts;
  });
}

Deno.test(`[CT2] [CT4] [QU4] [RS1] 500 queries over sockets cut at random: every answer once, whole, in order (seed ${SEED})`, async () => {
  await using model = new HandModel({ respond });
  const cuts = await run({ model, queries: QUERIES.oneWorker, options: {} });
  assert.ok(cuts > 20, `only ${cuts} cuts`);
  assert.equal(model.exchanges.length, CLIENTS * QUERIES.oneWorker, "each question reached the model once");
});

Deno.test(`[CT2] [CT4] [DU1] [TO6] 250 queries to workers that end all the time (seed ${SEED})`, async () => {
  await using model = new HandModel({ respond: respondSlowly });
  let ends = 0;
  const cuts = await run({
    model,
    queries: QUERIES.endingWorkers,
    options: {
      lite: true,
      workers: { agent_websocket: 2 },
      env: { TURN_LEASE_MS: "4000", CHECKPOINT_INTERVAL_MS: "200", DRAIN_TIMEOUT_MS: "300" },
    },
    onAnswer: (answers, { disturb }) => {
      if (answers % ANSWERS_PER_WORKER !== 0) return;
      const action = (ends + 1) % KILLED_EVERY === 0 ? "kill" : "beforeunload";
      if (disturb("agent_websocket", action)) ends++;
    },
  });
  assert.ok(cuts > 20, `only ${cuts} cuts`);
  assert.ok(ends > KILLED_EVERY, `only ${ends} workers ended`);
});
