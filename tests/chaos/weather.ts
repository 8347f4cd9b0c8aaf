/** The faults of the servers while clients use them: the seed decides what happens and when. */

import { DISTURBANCES } from "../../local/database_trouble.ts";
import type { ChaosOptions } from "./options.ts";
import type { Random } from "./random.ts";
import type { World } from "./world.ts";

/** The average interval of each fault. */
const KILL_EVERY_MS = 4000;
const DATABASE_EVERY_MS = 6000;
const RELAY_EVERY_MS = 7000;
/** The share of relay faults in which the relay is over its limit. */
const OVERLOAD = 0.3;
const KILL_NOTIFIER = 0.1;
const STALL_EVERY_MS = 9000;
/** The share of database outages that last longer than a lease. */
const LONG_OUTAGE = 0.08;

/** How often it is looked whether the next of a number of kills is due. */
const LOOK_MS = 100;

/**
 * Injects faults until the returned function is called. With `kills`, workers are killed, and shut down, as the turns go on: then a
 * slow machine does no more work.
 */
export function startWeather(
  world: World,
  random: Random,
  { kills, turns }: Pick<ChaosOptions, "kills" | "turns">,
): () => void {
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

  const kill = (chance: Random): void => {
    const name = chance.chance(KILL_NOTIFIER) ? "notify_websocket" : "agent_websocket";
    const at = chance.next();
    // Workers that are about to end hold most of the sockets, so they are included.
    const workers = stack.workers().filter((one) => one.function === name && one.state !== "booting");
    const worker = workers[Math.floor(at * workers.length)];
    if (worker !== undefined && stack.disturb(name, "kill", { number: worker.worker })) {
      tally.kills.push(performance.now());
    }
  };
  if (kills === undefined) repeat("kill", KILL_EVERY_MS, kill);
  else {
    const chance = random.fork("kill");
    let done = 0;
    const look = (): void => {
      if (tally.turns >= (done + 1) / (2 * kills + 1) * turns) {
        if (done++ % 2 === 0) kill(chance);
        else stack.disturb("agent_websocket", "beforeunload");
      }
      if (done < 2 * kills) after(LOOK_MS, look);
    };
    look();
  }
  // Stops a worker in the middle of its work, for longer than its lease. Then the worker continues as if nothing had
  // happened.
  const stalled = new Set<number>();
  const wake = (pid: number): void => {
    stalled.delete(pid);
    signal(pid, "SIGCONT");
  };
  repeat("stall", STALL_EVERY_MS, (chance) => {
    const at = chance.next();
    const forMs = chance.int(500, 6000);
    const workers = stack.workers().filter((one) =>
      one.function === "agent_websocket" && one.state === "live"
    );
    const pid = workers[Math.floor(at * workers.length)]?.pid;
    // One worker that accepts requests must remain: the platform would start another.
    if (pid === undefined || stalled.size > 0 || workers.length < 2) return;
    stalled.add(pid);
    signal(pid, "SIGSTOP");
    const from = performance.now();
    tally.stalls.push({ from, to: from + forMs });
    after(forMs, () => wake(pid));
  });
  repeat("database", DATABASE_EVERY_MS, (chance) => {
    const mode = chance.pick(DISTURBANCES);
    const forMs = chance.chance(LONG_OUTAGE) ? chance.int(3500, 6000) : chance.int(300, 1500);
    stack.database.disturb({ mode, forMs, delayMs: chance.int(50, 800) });
    const from = performance.now();
    tally.outages.push({ from, to: from + forMs });
  });
  repeat("relay", RELAY_EVERY_MS, (chance) => {
    tally.relayTroubles++;
    if (chance.chance(OVERLOAD)) {
      stack.realtime.overload();
      after(chance.int(200, 5000), () => stack.realtime.relieve());
      return;
    }
    stack.realtime.cut();
    if (!chance.chance(0.5)) return;
    stack.realtime.pause();
    after(chance.int(200, 2000), () => stack.realtime.resume());
  });
  return () => {
    timers.forEach(clearTimeout);
    stalled.forEach(wake);
    stack.database.calm();
    stack.realtime.resume();
    stack.realtime.relieve();
  };
}

function signal(pid: number, name: Deno.Signal): void {
  try {
    Deno.kill(pid, name);
  } catch {
    // It has ended in the meantime.
  }
}
