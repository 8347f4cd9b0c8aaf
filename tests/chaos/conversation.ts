/** One session of a chaos client: its tabs, its questions, and its other actions. */

import { Deciding } from "./deciding.ts";
import { notify } from "./notify.ts";
import type { Query } from "./query.ts";
import type { Random } from "./random.ts";
import type { ConversationRecord } from "./records.ts";
import { questionOf } from "./script.ts";
import { Tab } from "./tab.ts";
import { until } from "./until.ts";
import type { World } from "./world.ts";

export interface ConversationOptions {
  name: string;
  token: string | undefined;
  /** The number of questions. */
  questions: number;
  world: World;
  random: Random;
}

/** The data for resuming a session. */
interface Session {
  id: string;
  resumeToken: string | undefined;
  durable: boolean;
}

/** Longer than sessions may be idle (`SESSION_TIMEOUT` in world.ts). */
const IDLE_MS = 9000;
const PRIORITIES = ["high", "normal", "low"] as const;

export class Conversation {
  readonly record: ConversationRecord;
  readonly queries = new Map<string, Query>();
  /** The app's own id of the conversation, if it has one. */
  readonly chatId: string | undefined;
  session: Session | undefined;
  readonly deciding: Deciding;
  readonly #options: ConversationOptions;
  readonly #tabs: Tab[] = [];
  #isGivenUp = false;
  #hasEnded = false;
  /** The next question is asked at once, and stops the one that runs. */
  #isImpatient = false;

  constructor(options: ConversationOptions) {
    this.#options = options;
    this.record = {
      name: options.name,
      sessionId: "",
      tabs: [],
      queries: [],
      notices: [],
      titles: [],
      isRenamed: false,
      decisions: [],
      clientResults: [],
      ...(options.token !== undefined && { userId: subjectOf(options.token) }),
    };
    this.deciding = new Deciding({
      record: this.record,
      random: options.random.fork("deciding"),
      world: options.world,
      token: options.token,
      say: (frame, tab) => this.#tabs[tab % this.#tabs.length]?.say(frame),
      interrupt: (queryId) => this.#interrupt(queryId),
      isOver: (queryId) => this.#hasEnded || this.queries.get(queryId)?.isOver !== false,
    });
    this.chatId = options.random.chance(0.5) ? options.name : undefined;
  }

  /** Runs the whole conversation. Resolves when everything in it has ended, or has exceeded its time limit. */
  async live(): Promise<ConversationRecord> {
    const { world, random, questions, token } = this.#options;
    const running = [this.#open()];
    // Both tabs make the conversation, and only one of them does.
    if (this.chatId !== undefined && token !== undefined && random.chance(0.4)) running.push(this.#open());
    if (await until(() => this.session !== undefined, world.boundMs)) {
      if (running.length === 1 && random.chance(0.4)) running.push(this.#open());
      for (let asked = 0; asked < questions && !this.#isGivenUp;) {
        const burst = Math.min(questions - asked, random.chance(0.8) ? 1 : random.int(2, 4));
        for (let one = 0; one < burst; one++) this.#ask(++asked);
        await this.#doSomethingElse();
        // Sometimes the next question does not wait for the answer.
        const isReady = (): boolean => this.#isAnswered() || this.#isImpatient;
        if (!random.chance(0.1) && !await until(isReady, world.boundMs)) this.giveUp();
        const pauseMs = random.chance(0.004) ? IDLE_MS : random.magnitude(1, world.pauseMs);
        await new Promise((resolve) => setTimeout(resolve, pauseMs));
      }
      await until(() => this.#isSettled(), world.boundMs);
    }
    this.#hasEnded = true;
    for (const tab of this.#tabs) tab.stop();
    await Promise.all(running);
    return this.record;
  }

  begin(session: Session): void {
    this.session = session;
    this.record.sessionId = session.id;
    this.#options.world.sessions.push(session.id);
  }

  acknowledged(queryId: string): void {
    const query = this.queries.get(queryId);
    if (query !== undefined) query.isAcknowledged = true;
  }

  over(queryId: string): void {
    const query = this.queries.get(queryId);
    if (query === undefined || query.isOver) return;
    query.isOver = true;
    query.record.endedAt = performance.now();
  }

  /** The query will have no end: it was never accepted. */
  refuse(query: Query, code: string): void {
    query.record.refused = code;
    this.over(query.record.id);
  }

  giveUp(): void {
    this.#isGivenUp = true;
  }

  #open(): Promise<void> {
    const { name, token, world, random } = this.#options;
    const tabName = `${name}.t${this.#tabs.length + 1}`;
    const fork = random.fork(tabName);
    const line = world.line(fork.fork("line"));
    const tab = new Tab({
      name: tabName,
      origin: `ws://127.0.0.1:${line.port}`,
      token,
      conversation: this,
      random: fork,
      tally: world.tally,
    });
    this.#tabs.push(tab);
    this.record.tabs.push(tab.record);
    return tab.run().finally(() => line.close());
  }

  #ask(number: number): void {
    const { name, random, world } = this.#options;
    const replaces = random.chance(0.06) ? this.#anyLogged()?.record.id : undefined;
    const record = {
      id: `${name}.q${number}`,
      question: questionOf(name, number, { usesTools: random.chance(world.tools) }),
      sentAt: performance.now(),
      ...(replaces !== undefined && { replaces }),
    };
    const fields = {
      ...(replaces !== undefined && { replaces }),
      ...(random.chance(0.1) && { stream: false }),
      ...(random.chance(0.2) && { priority: random.pick(PRIORITIES) }),
      ...(random.chance(0.03) && { policy: random.pick(["interrupt", "latest", "queue"]) }),
      ...(this.#isImpatient && { policy: "interrupt" }),
    };
    this.#isImpatient = false;
    const query: Query = { record, fields, isAcknowledged: false, isOver: false };
    this.queries.set(record.id, query);
    this.record.queries.push(record);
    world.tally.turns++;
    this.#anyTab().ask(query);
    if (!random.chance(0.05)) return;
    setTimeout(() => this.#cancel(record.id), random.magnitude(1, 1000));
  }

  #cancel(id: string): void {
    this.#anyTab().say({ type: "command", content: "cancel", id: `${id}.cancel`, args: { id } });
  }

  /** Nobody wants to wait for the question's tool calls any more. */
  #interrupt(queryId: string): void {
    if (this.#options.random.chance(0.5)) this.#cancel(queryId);
    else this.#isImpatient = true;
  }

  async #doSomethingElse(): Promise<void> {
    const { name, random, world } = this.#options;
    const id = `${name}.n${this.record.notices.length + random.int(1000, 9_999_999)}`;
    if (random.chance(0.03)) this.#anyTab().say({ type: "command", content: "clear", id: `${id}.clear` });
    if (random.chance(0.05)) this.#anyTab().say({ type: "command", content: "history", id: `${id}.history` });
    if (random.chance(0.03)) this.#rename(`title ${id}`);
    if (!random.chance(0.08) || this.session === undefined) return;
    const durable = await notify(world, { session_id: this.session.id, id, message: `notice ${id}` });
    if (durable) this.record.notices.push(id);
  }

  #rename(title: string): void {
    this.record.titles.push(title);
    this.#anyTab().say({ type: "command", content: "rename", id: title, args: { title } });
  }

  /** One of the newest questions that the log has, answered or not. */
  #anyLogged(): Query | undefined {
    const logged = [...this.queries.values()].filter(({ isAcknowledged }) => isAcknowledged).slice(-5);
    const [first, ...others] = logged;
    return first && this.#options.random.pick([first, ...others]);
  }

  #anyTab(): Tab {
    const [first = this.#tabs[0], ...others] = this.#tabs;
    if (first === undefined) throw new Error("Cannot use a tab: none is open");
    return this.#options.random.pick([first, ...others]);
  }

  #isAnswered(): boolean {
    return this.#isGivenUp || [...this.queries.values()].every(({ isOver }) => isOver);
  }

  /** Every tab has seen every end, and all tabs have the same events. */
  #isSettled(): boolean {
    if (this.#isGivenUp) return true;
    const newest = Math.max(...this.#tabs.map(({ cursor }) => cursor));
    return this.#isAnswered() &&
      this.#tabs.every(({ cursor, ended, notices }) =>
        cursor === newest && this.record.notices.every((id) => notices.has(id)) &&
        this.record.queries.every(({ id, refused }) => refused !== undefined || ended.has(id))
      );
  }
}

/** The `sub` of a token. */
function subjectOf(token: string): string {
  const payload = (token.split(".")[1] ?? "").replaceAll("-", "+").replaceAll("_", "/");
  return String(JSON.parse(atob(payload)).sub);
}
