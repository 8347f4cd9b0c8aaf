/**
 * The timers of a worker's sessions. Sessions that are due at the same time share one timer, so their checkpoints are written
 * in one task and go to the store in one call.
 */

import type { CancelTimer, Clock } from "../ports/runtime.ts";

interface Sleeper {
  take(event: { kind: "wake" }): void;
}

/** The one timer of a session. */
export class SessionTimer {
  readonly #times: WakeTimes;
  readonly #session: Sleeper;
  #set: { at: number; cancel: CancelTimer } | undefined;

  constructor(times: WakeTimes, session: Sleeper) {
    this.#times = times;
    this.#session = session;
  }

  /** Sets the time of the next wake, in milliseconds since the epoch; undefined: none. It may come early, when nothing is due. */
  set(at: number | undefined): void {
    if (at !== undefined && this.#set !== undefined && this.#set.at <= at) return;
    this.#set?.cancel();
    this.#set = undefined;
    if (at === undefined) return;
    const cancel = this.#times.at(at, () => {
      this.#set = undefined;
      this.#session.take({ kind: "wake" });
    });
    this.#set = { at, cancel };
  }
}

interface Moment {
  tasks: Set<() => void>;
  cancel: CancelTimer;
}

export class WakeTimes {
  readonly #clock: Clock;
  /** By time, in milliseconds since the epoch. */
  readonly #moments = new Map<number, Moment>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Runs `task` once at `time`, in milliseconds since the epoch; as soon as possible if that is over. `task` must not throw. */
  at(time: number, task: () => void): CancelTimer {
    const moment = this.#moments.get(time) ?? this.#add(time);
    // A function of its own, so that the same task can be set twice.
    const run = (): void => task();
    moment.tasks.add(run);
    return () => {
      if (!moment.tasks.delete(run) || moment.tasks.size > 0 || this.#moments.get(time) !== moment) return;
      moment.cancel();
      this.#moments.delete(time);
    };
  }

  #add(time: number): Moment {
    const tasks = new Set<() => void>();
    const cancel = this.#clock.after(Math.max(0, time - this.#clock.now()), () => {
      this.#moments.delete(time);
      for (const task of tasks) {
        tasks.delete(task);
        task();
      }
    });
    const moment = { tasks, cancel };
    this.#moments.set(time, moment);
    return moment;
  }
}
