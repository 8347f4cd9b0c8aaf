/** Several workers on one store, in one process and on one clock. A fake relay carries their calls to each other. */

import { MemoryStore } from "../../supabase/functions/_shared/session/memory_store.ts";
import type { SessionCall } from "../../supabase/functions/_shared/protocol/session_call.ts";
import type { ContinuePolicy } from "../../supabase/functions/_shared/config.ts";
import { type AgentOptions, CountedIds, startAgent, type TestAgent } from "./agent_harness.ts";
import { ManualClock, settle } from "./manual_clock.ts";
import { GOOD_WAY, UnrulyStore, type Way } from "./unruly_store.ts";

/** The default of `TURN_LEASE_MS`. */
export const LEASE_MS = 5000;

/** When the copies of the relay's n-th message arrive, in milliseconds after it was sent. */
const RELAY_MODES = {
  up: (): number[] => [0],
  down: (): number[] => [],
  slow: (): number[] => [400],
  lossy: (n: number): number[] => n % 2 === 0 ? [0] : [],
  doubling: (): number[] => [0, 400],
  shuffling: (n: number): number[] => [[0, 400, 50, 700][n % 4] ?? 0],
} satisfies Record<string, (n: number) => number[]>;
export type RelayMode = keyof typeof RELAY_MODES;

export interface TestWorker extends TestAgent, Way {
  name: string;
  /** Disconnects it from the store, the relay and the model. The other workers are not notified. */
  kill(): void;
}

export interface Workers {
  clock: ManualClock;
  /** Direct access, without a worker's faults. */
  store: MemoryStore;
  relay: RelayMode;
  /** Whether calls between the workers arrive. Setting it sets {@linkcode relay} to `up` or `down`. */
  isRelayUp: boolean;
  /** Whether a killed worker has a write that may still be executed. No worker is notified of that write. */
  leavesLateWrites: boolean;
  start(name: string, options?: WorkerOptions): TestWorker;
  /** Moves the clock, then lets everything that can run do so. */
  pass(ms: number): Promise<void>;
}

export type WorkerOptions = Pick<
  AgentOptions,
  | "maxSessions"
  | "maxMemoryBytes"
  | "agent"
  | "provider"
  | "tokensPerDay"
  | "attempts"
  | "reader"
  | "server"
  | "settings"
>;

export function startWorkers(options: { policy?: ContinuePolicy; maxEvents?: number } = {}): Workers {
  const clock = new ManualClock();
  const store = new MemoryStore({ clock, maxEvents: options.maxEvents ?? 1000, leaseMs: LEASE_MS });
  const ids = new CountedIds();
  const alive = new Map<string, TestWorker>();
  let messages = 0;
  const workers: Workers = {
    clock,
    store,
    relay: "up",
    leavesLateWrites: false,
    get isRelayUp(): boolean {
      return this.relay !== "down";
    },
    set isRelayUp(isUp: boolean) {
      this.relay = isUp ? "up" : "down";
    },
    start(name, ownOptions = {}): TestWorker {
      const call = (sessionId: string, message: SessionCall): void => {
        if (!alive.has(name)) return;
        for (const delayMs of RELAY_MODES[workers.relay](messages++)) {
          for (const [other, { server }] of alive) {
            if (other === name) continue;
            const arrive = (): void => {
              if (alive.get(other)?.server === server) server.receive(sessionId, structuredClone(message));
            };
            if (delayMs === 0) queueMicrotask(arrive);
            else clock.after(delayMs, arrive);
          }
        }
      };
      const dead: Way = { ...GOOD_WAY, isCutOff: true };
      const reach = new UnrulyStore(
        store.forWorker(name),
        clock,
        () => alive.has(name) ? worker : dead,
      );
      const agent = startAgent({
        ...ownOptions,
        store: reach,
        clock,
        ids,
        call,
        isDurable: true,
        settings: { continuePolicy: options.policy ?? "auto", ...ownOptions.settings },
      });
      const worker: TestWorker = Object.assign(agent, {
        ...GOOD_WAY,
        name,
        kill: (): void => {
          alive.delete(name);
          if (reach.hasLateWrites) workers.leavesLateWrites = true;
        },
      });
      alive.set(name, worker);
      return worker;
    },
    async pass(ms: number): Promise<void> {
      clock.advance(ms);
      await settle();
    },
  };
  return workers;
}
