/** One chaos run: starts everything, runs the clients and the faults, and judges the result. */

import { systemClock } from "../../supabase/functions/_shared/platform/system.ts";
import { settledWithin } from "../../supabase/functions/_shared/settled_within.ts";
import { attack } from "./attacker.ts";
import { check } from "./checker.ts";
import { Conversation } from "./conversation.ts";
import { readLogs } from "./database.ts";
import { emptyReport } from "./model_report.ts";
import type { ChaosOptions } from "./options.ts";
import { Random } from "./random.ts";
import type { AttackRecord, ConversationRecord, Fault, RunRecord } from "./records.ts";
import { signUp } from "../support/sign_up.ts";
import { type Part, stopParts } from "./stopping.ts";
import type { Tally } from "./tally.ts";
import { readRuns } from "./tool_runs.ts";
import { startWeather } from "./weather.ts";
import { openWorld, type World } from "./world.ts";

export interface ChaosResult {
  record: RunRecord;
  tally: Tally;
  faults: Fault[];
  seconds: number;
  /** Whether the run was interrupted: what had not ended by then is not judged. */
  isInterrupted: boolean;
}

export interface ChaosRun extends ChaosResult {
  /** The parts that did not stop, and were killed. */
  left: string[];
}

const ATTACK_EVERY_MS = 1500;
const MAX_QUESTIONS = 60;

/** The time limit after an interruption for the end of the attacks, the model's report and the log. */
const HURRY_MS = 5000;
/** The time limit for each of them otherwise. */
const JUDGE_MS = 120_000;
/** The time limit for stopping each part of the world. */
const STOP_MS = 6000;

export interface RunHooks {
  onProgress(text: string): void;
  /** Called as soon as there is a verdict, before anything is stopped. */
  onVerdict?(result: ChaosResult): void;
  /** Ends the run: what has ended is judged. */
  signal?: AbortSignal;
  /** Receives the started parts. */
  parts?: Part[];
}

/** Rejects with the reason of `signal` if it aborts before the world is open. */
export async function runChaos(options: ChaosOptions, hooks: RunHooks): Promise<ChaosRun> {
  const { onVerdict = () => {}, signal = new AbortController().signal, parts = [] } = hooks;
  const clock = systemClock();
  const opening = openWorld(options, parts);
  const stop = (): Promise<string[]> => stopParts(parts, { clock, withinMs: STOP_MS });
  let result: ChaosResult;
  try {
    const world = await Promise.race([opening, aborted(signal).then(() => undefined)]);
    if (world === undefined) throw signal.reason;
    result = await live(options, world, { ...hooks, signal });
    onVerdict(result);
  } catch (thrown) {
    // Some parts may not exist yet.
    await settledWithin(clock, STOP_MS, opening).catch(() => {});
    await stop();
    throw thrown;
  }
  return { ...result, left: await stop() };
}

/** Runs all clients until they end, or until `signal` aborts; then judges the run. */
async function live(
  options: ChaosOptions,
  world: World,
  { onProgress, signal }: Required<Pick<RunHooks, "onProgress" | "signal">>,
): Promise<ChaosResult> {
  const startedAt = performance.now();
  const random = new Random(options.seed);
  const conversations: ConversationRecord[] = [];
  const attacks: AttackRecord[] = [];
  let turnsLeft = options.turns;
  let stage = "living";
  let alive = options.clients;
  const tellProgress = (): void => {
    const { turns, kills, cuts } = world.tally;
    onProgress(
      `${
        seconds(startedAt)
      } s: ${turns} turns, ${kills.length} kills, ${cuts} cuts; ${stage}, ${alive} clients`,
    );
  };
  tellProgress();
  const progress = setInterval(tellProgress, 10_000);
  const calm = options.weather ? startWeather(world, random.fork("weather"), options) : undefined;
  const over = new AbortController();
  try {
    const attacking = attackUntil(over.signal, { world, random: random.fork("attacks"), attacks });
    const takeTurns = (wanted: number): number => {
      const taken = Math.min(wanted, turnsLeft);
      turnsLeft -= taken;
      return taken;
    };
    // In a short run, no client should continue alone for long.
    const longest = Math.max(3, Math.min(MAX_QUESTIONS, Math.floor(options.turns / options.clients / 2)));
    const clients = Array.from(
      { length: options.clients },
      (_, index) =>
        liveAs(`c${index + 1}`, {
          world,
          random: random.fork(`client ${index + 1}`),
          takeTurns,
          longest,
          conversations,
        }),
    );
    const living = Promise.all(clients.map((client) => client.finally(() => alive--)));
    await Promise.race([living, aborted(signal)]);
    stage = "ending";
    over.abort();
    calm?.();
    world.calm();
    await inTime("the end of the attacks", attacking, signal);
    stage = "reading the log";
    const logs = world.databaseUrl === undefined
      ? undefined
      : await inTime("reading the log", readLogs(world.databaseUrl), signal);
    const runs = world.databaseUrl === undefined
      ? undefined
      : await inTime("reading the runs of tools", readRuns(world.databaseUrl), signal);
    const record: RunRecord = {
      conversations,
      attacks,
      model: await inTime("the model's report", world.model.report(), signal) ??
        emptyReport(),
      ...(logs && { logs }),
      ...(runs && { runs }),
      stalls: world.tally.stalls,
      boundMs: world.boundMs,
    };
    return {
      record,
      tally: world.tally,
      faults: check(record),
      seconds: seconds(startedAt),
      isInterrupted: signal.aborted,
    };
  } finally {
    calm?.();
    clearInterval(progress);
  }
}

/**
 * The result of `work`; undefined if the run is interrupted and `work` takes longer than {@linkcode HURRY_MS} after
 * that. Rejects if it takes longer than {@linkcode JUDGE_MS}: then there is no verdict.
 */
async function inTime<T>(what: string, work: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  const clock = systemClock();
  let result: T | undefined;
  const done = work.then((value) => void (result = value));
  const hurry = aborted(signal).then(() => settledWithin(clock, HURRY_MS, done));
  if (await settledWithin(clock, JUDGE_MS, Promise.race([done, hurry]))) return result;
  throw new Error(`Cannot judge the run: ${what} took longer than ${JUDGE_MS} ms`);
}

interface Living {
  world: World;
  random: Random;
  takeTurns(wanted: number): number;
  /** Questions of the longest conversation. */
  longest: number;
  conversations: ConversationRecord[];
}

/** One client: a signed-in or anonymous user, who has one conversation after the other. */
async function liveAs(
  name: string,
  { world, random, takeTurns, longest, conversations }: Living,
): Promise<void> {
  const isUser = random.chance(0.5);
  const token = isUser
    ? await (world.databaseUrl === undefined ? world.stack.token() : signUp(world.stack))
    : undefined;
  for (let number = 1;; number++) {
    const questions = takeTurns(random.magnitude(3, longest));
    if (questions === 0) return;
    const conversationName = `${name}.s${number}`;
    const conversation = new Conversation({
      name: conversationName,
      token,
      questions,
      world,
      random: random.fork(conversationName),
    });
    conversations.push(await conversation.live());
  }
}

async function attackUntil(
  signal: AbortSignal,
  { world, random, attacks }: { world: World; random: Random; attacks: AttackRecord[] },
): Promise<void> {
  while (!signal.aborted) {
    await new Promise((resolve) => setTimeout(resolve, random.wait(ATTACK_EVERY_MS)));
    const record = await attack(world, random, signal);
    if (record !== undefined) attacks.push(record);
  }
}

function seconds(since: number): number {
  return Math.round((performance.now() - since) / 1000);
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
