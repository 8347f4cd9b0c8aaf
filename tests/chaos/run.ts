/** One chaos run: everything is started, everybody lives, the weather blows, and at the end it is judged. */

import { attack } from "./attacker.ts";
import { check } from "./checker.ts";
import { Conversation } from "./conversation.ts";
import { readLogs } from "./database.ts";
import type { ChaosOptions } from "./options.ts";
import { Random } from "./random.ts";
import type { AttackRecord, ConversationRecord, Fault, RunRecord } from "./records.ts";
import type { Tally } from "./tally.ts";
import { startWeather } from "./weather.ts";
import { openWorld, type World } from "./world.ts";

export interface ChaosResult {
  record: RunRecord;
  tally: Tally;
  faults: Fault[];
  seconds: number;
}

const ATTACK_EVERY_MS = 1500;
const MAX_QUESTIONS = 60;

export async function runChaos(
  options: ChaosOptions,
  onProgress: (text: string) => void = () => {},
): Promise<ChaosResult> {
  const startedAt = performance.now();
  const world = await openWorld(options);
  const random = new Random(options.seed);
  const conversations: ConversationRecord[] = [];
  const attacks: AttackRecord[] = [];
  let turnsLeft = options.turns;
  const progress = setInterval(() => {
    const { turns, kills, cuts } = world.tally;
    onProgress(`${seconds(startedAt)} s: ${turns} turns, ${kills} kills, ${cuts} cuts`);
  }, 10_000);
  const calm = options.weather ? startWeather(world, random.fork("weather")) : undefined;
  const over = new AbortController();
  try {
    const attacking = attackUntil(over.signal, { world, random: random.fork("attacks"), attacks });
    const takeTurns = (wanted: number): number => {
      const taken = Math.min(wanted, turnsLeft);
      turnsLeft -= taken;
      return taken;
    };
    // In a short run nobody is to go on alone for long.
    const longest = Math.max(3, Math.min(MAX_QUESTIONS, Math.floor(options.turns / options.clients / 2)));
    const clients = Array.from(
      { length: options.clients },
      (_, index) =>
        live(`c${index + 1}`, {
          world,
          random: random.fork(`client ${index + 1}`),
          takeTurns,
          longest,
          conversations,
        }),
    );
    await Promise.all(clients);
    over.abort();
    await attacking;
    calm?.();
    world.calm();
    const logs = world.databaseUrl === undefined ? undefined : await readLogs(world.databaseUrl);
    const record: RunRecord = {
      conversations,
      attacks,
      model: await world.model.report(),
      ...(logs && { logs }),
      boundMs: world.boundMs,
    };
    return { record, tally: world.tally, faults: check(record), seconds: seconds(startedAt) };
  } finally {
    clearInterval(progress);
    calm?.();
    await world.stop();
  }
}

interface Living {
  world: World;
  random: Random;
  takeTurns(wanted: number): number;
  /** Questions of the longest conversation. */
  longest: number;
  conversations: ConversationRecord[];
}

/** One client: a user or nobody in particular, who has one conversation after the other. */
async function live(
  name: string,
  { world, random, takeTurns, longest, conversations }: Living,
): Promise<void> {
  const token = random.chance(0.5) ? await world.stack.token() : undefined;
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
    const record = await attack(world, random);
    if (record !== undefined) attacks.push(record);
  }
}

function seconds(since: number): number {
  return Math.round((performance.now() - since) / 1000);
}
