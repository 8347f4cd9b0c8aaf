/**
 * A kept race, as a story that a person can read and write.
 *
 * A line without indentation is a command. The indented lines after it are the resulting actions and what clients are
 * shown. Messages in transit arrive before the next command, in the order in which they were sent, unless the story
 * says otherwise.
 *
 * ```text
 * workers a b
 * ann connects to a
 * ann asks q1
 *   a asks the model for q1
 *   a writes 1: query q1, claim, start q1
 *   ann is told that q1 runs, seq 1
 * a's model says one
 *   ann reads q1 from 0: "one "
 * ```
 */

import type { Effect } from "../../supabase/functions/_shared/session/core/effect.ts";
import { askOf } from "./plan.ts";
import { sentenceFor } from "./sentences.ts";
import { connect, disconnect, send, sendStop } from "./clients.ts";
import { callOf, deliver, endCall, killWorker, startWorker, tell } from "./world.ts";
import {
  type Client,
  type Message,
  newClient,
  newWorld,
  SETTINGS,
  type Worker,
  type World,
} from "./world_state.ts";

/** Plays the commands of a transcript, and returns it with their results. Throws if an invariant is broken. */
export function play(text: string): string {
  const story = new Story();
  const lines: string[] = [];
  for (const line of text.split("\n")) {
    if (line.startsWith("  ")) continue;
    lines.push(line);
    if (line.trim() === "" || line.startsWith("#")) continue;
    story.tellLine(line.trim());
    lines.push(...story.takeOutput().map((said) => `  ${said}`));
  }
  return lines.join("\n");
}

class Story {
  readonly #world: World;
  readonly #output: string[] = [];
  #pending: Message[] = [];
  /** Messages that arrive only when the story says so. */
  #held: Message[] = [];
  /** The fault of a worker's next write or read. */
  readonly #fates = new Map<string, string>();
  #isRelayUp = true;

  constructor() {
    this.#world = newWorld({
      settings: { ...SETTINGS, maxQueue: 20 },
      clients: [],
      post: (message) => this.#post(message),
    });
    this.#world.onEffect = (worker, effect) => this.#say(worker, effect);
  }

  takeOutput(): string[] {
    return this.#output.splice(0);
  }

  tellLine(line: string): void {
    const words = line.split(" ");
    const [who = "", verb = "", third = "", ...rest] = words;
    if (who === "workers") words.slice(1).forEach((id) => startWorker(this.#world, id));
    else if (who === "wait") this.#wait(Number(verb));
    else if (who === "relay") this.#isRelayUp = verb === "up";
    else if (who === "kill") this.#kill(verb);
    else if (who === "drain") {
      this.#tell(verb, (worker) => tell(this.#world, worker, drainAt(this.#world.now + 2000)));
    } else if (who.endsWith("'s")) this.#control(who.slice(0, -2), [verb, third, ...rest].join(" "));
    else this.#act(this.#client(who), verb, third, rest);
    this.#settle();
  }

  #act(client: Client, verb: string, third: string, rest: string[]): void {
    const world = this.#world;
    switch (verb) {
      case "connects":
      case "reconnects":
        return this.#tell(rest[0] ?? "", (worker) => connect(world, client, worker));
      case "is":
        return disconnect(world, client, rest[0] === "losing" ? Number(rest[1]) : 0);
      case "asks": {
        const policy = (["interrupt", "latest", "reject"] as const).find((name) => rest.includes(name)) ??
          "queue";
        const priority = (["high", "low"] as const).find((name) => rest.includes(name)) ?? "normal";
        const replaces = rest[rest.indexOf("replacing") + 1];
        const isReplacing = rest.includes("replacing") && replaces !== undefined;
        return send(world, client, askOf({ id: third, policy, priority, ...(isReplacing && { replaces }) }));
      }
      case "cancels": {
        const which = third === "" ? "running" : third === "all" ? "all" : { queryId: third };
        return sendStop(world, client, { which, reason: "cancelled" });
      }
      case "clears":
      case "configures": {
        const worker = world.workers.get(client.workerId ?? "");
        const wish = `${client.name}-w${++world.counts.ids}`;
        const connectionId = client.seat?.connectionId ?? "";
        const event = verb === "clears" ? { kind: "cleared", clearId: wish, connectionId } as const : {
          kind: "configured",
          configId: wish,
          connectionId,
          options: { temperature: Number(third) },
        } as const;
        if (worker !== undefined) tell(world, worker, { kind: "append", wish, event });
        return;
      }
      default:
        throw new TypeError(`Cannot play "${client.name} ${verb}": no such verb`);
    }
  }

  /** `a's model says one`, `a's model thinks one`, `a's next write is lost`, `a's write arrives`. */
  #control(id: string, what: string): void {
    const world = this.#world;
    const says = /^model (says|thinks) (.*)$/.exec(what);
    const next = /^next (write|read) (?:is |loses )(.*)$/.exec(what);
    if (says !== null) {
      return this.#tell(
        id,
        (worker) =>
          tell(world, worker, {
            kind: says[1] === "says" ? "text" : "reasoning",
            call: callOf(worker.state) ?? 0,
            text: `${says[2]} `,
          }),
      );
    }
    if (what === "model begins again") {
      return this.#tell(
        id,
        (worker) => tell(this.#world, worker, { kind: "restarted", call: callOf(worker.state) ?? 0 }),
      );
    }
    if (what === "model ends" || what === "model fails") {
      return this.#tell(
        id,
        (worker) => endCall(world, worker, callOf(worker.state) ?? 0, what === "model ends"),
      );
    }
    if (next !== null) return void this.#fates.set(`${id} ${next[1]}`, next[2] ?? "");
    if (what !== "write arrives" && what !== "read arrives") {
      throw new TypeError(`Cannot play "${id}'s ${what}"`);
    }
    const kind = what === "write arrives" ? "write" : "read";
    const index = this.#held.findIndex((message) => message.kind === kind && message.from === id);
    this.#pending.push(...this.#held.splice(index, 1));
  }

  #kill(id: string): void {
    killWorker(this.#world, id);
    const isAlive = (message: Message): boolean => !("to" in message) || message.to !== id;
    this.#pending = this.#pending.filter(isAlive);
  }

  /** Lets time pass; each worker that has set a wake-up time is woken at that time. */
  #wait(ms: number): void {
    const world = this.#world;
    const end = world.now + ms;
    for (;;) {
      const due = [...world.workers.values()].filter(({ wakeAt }) => wakeAt !== undefined && wakeAt <= end)
        .sort((a, b) => (a.wakeAt ?? 0) - (b.wakeAt ?? 0))[0];
      if (due?.wakeAt === undefined) break;
      world.now = Math.max(world.now, due.wakeAt);
      tell(world, due, { kind: "wake" });
      this.#settle();
    }
    world.now = end;
  }

  #settle(): void {
    for (let message = this.#pending.shift(); message !== undefined; message = this.#pending.shift()) {
      deliver(this.#world, message);
    }
  }

  #post(message: Message): void {
    switch (message.kind) {
      case "model":
        // The story decides what the model says.
        return;
      case "relay":
        if (this.#isRelayUp) this.#pending.push(message);
        return;
      case "write":
        return this.#postWrite(message);
      case "read":
        return void (this.#takeFate(`${message.from} read`) === "slow" ? this.#held : this.#pending).push(
          message,
        );
      default:
        return void this.#pending.push(message);
    }
  }

  #postWrite(message: Extract<Message, { kind: "write" }>): void {
    const { from, number } = message;
    const doubt = { kind: "answer", to: from, number, outcome: { doubt: true } } as const;
    switch (this.#takeFate(`${from} write`)) {
      case undefined:
        return void this.#pending.push(message);
      case "slow":
        return void this.#held.push(message);
      case "lost":
        return void this.#pending.push(doubt);
      case "late":
        this.#held.push({ ...message, isGivenUp: true });
        return void this.#pending.push(doubt);
      case "its answer":
        this.#pending.push({ ...message, isGivenUp: true }, doubt);
        return;
      default:
        throw new TypeError("Cannot play: a write is slow, lost, late, or loses its answer");
    }
  }

  #takeFate(key: string): string | undefined {
    const fate = this.#fates.get(key);
    this.#fates.delete(key);
    return fate;
  }

  #client(name: string): Client {
    const { clients } = this.#world;
    const known = clients.find((each) => each.name === name);
    if (known !== undefined) return known;
    const client = newClient(name);
    clients.push(client);
    return client;
  }

  #tell(id: string, use: (worker: Worker) => void): void {
    const worker = this.#world.workers.get(id);
    if (worker === undefined) throw new TypeError(`Cannot play: there is no worker "${id}"`);
    use(worker);
  }

  #say(worker: Worker, effect: Effect): void {
    const said = sentenceFor(worker.id, effect);
    if (said !== undefined) this.#output.push(said);
  }
}

function drainAt(deadline: number): Parameters<typeof tell>[2] {
  return { kind: "drain", deadline, leave: "hand_over" };
}
