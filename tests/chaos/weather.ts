/** What happens to the servers while clients use them: chance decides what and when, from the seed. */

import { DISTURBANCES } from "../../local/database_trouble.ts";
import type { Random } from "./random.ts";
import type { World } from "./world.ts";

/** How often each happens, on average. */
const KILL_EVERY_MS = 4000;
const DATABASE_EVERY_MS = 6000;
const RELAY_EVERY_MS = 7000;
const KILL_NOTIFIER = 0.1;

/** Blows until the answer is called. */
export function startWeather(world: World, random: Random): () => void {
  const { stack, tally } = world;
  const timers = new Set<ReturnType<typeof setTimeout>>();
  const after = (ms: number, act: () => void): void => {
    const timer = setTimeout(() => {
      timers.delete(timer);
      act();
    }, ms);
    timers.add(timer);
  };
  const repeat = (name: string, everyMs: number, act: (chance: Random) => void): void => {
    const chance = random.fork(name);
    const next = (): void =>
      after(chance.wait(everyMs), () => {
        act(chance);
        next();
      });
    next();
  };

  repeat("kill", KILL_EVERY_MS, (chance) => {
    const name = chance.chance(KILL_NOTIFIER) ? "notify_websocket" : "agent_websocket";
    const at = chance.next();
    // Those that are about to end hold most of the sockets.
    const workers = stack.workers().filter((one) => one.function === name && one.state !== "booting");
    const worker = workers[Math.floor(at * workers.length)];
    if (worker !== undefined && stack.disturb(name, "kill", { number: worker.worker })) tally.kills++;
  });
  repeat("database", DATABASE_EVERY_MS, (chance) => {
    stack.database.disturb({
      mode: chance.pick(DISTURBANCES),
      forMs: chance.int(300, 1500),
      delayMs: chance.int(50, 800),
    });
    tally.databaseTroubles++;
  });
  repeat("relay", RELAY_EVERY_MS, (chance) => {
    stack.realtime.cut();
    tally.relayTroubles++;
    if (!chance.chance(0.5)) return;
    stack.realtime.pause();
    after(chance.int(200, 2000), () => stack.realtime.resume());
  });
  return () => {
    timers.forEach(clearTimeout);
    stack.database.calm();
    stack.realtime.resume();
  };
}
