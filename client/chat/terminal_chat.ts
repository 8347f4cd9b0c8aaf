/** A conversation in lines: `line` takes the typed input, `write` prints the output. */

import type { AgentClient } from "../client.ts";
import { AgentClientError } from "../error.ts";
import type { StatusFrame } from "../frames.ts";
import type { Piece, Turn } from "../turn.ts";

const HELP = `/help             this
/cancel           stops the answer (Ctrl-C does so too; a second one quits)
/clear            the model forgets the conversation so far
/history [n]      what was said, the last n messages
/model [name]     which model answers, or another one from now on
/new              begins a fresh session
/sessions         your sessions
/status           what the session is doing
/quit             ends (Ctrl-D does so too)
Anything else is asked.
`;

const DIM = "\x1b[2m";
const NOT_DIM = "\x1b[22m";
/** What is written before text and before reasoning, by what was written last. */
const SWITCH: Record<Piece["type"], Record<Piece["type"] | "nothing", string>> = {
  text: { nothing: "", reasoning: `${NOT_DIM}\n`, text: "" },
  reasoning: { nothing: DIM, text: `\n${DIM}`, reasoning: "" },
};

export interface TerminalChatOptions {
  client: AgentClient;
  write(text: string): void;
  /** The chat has ended; `code` is the process's exit code. */
  onQuit(code: number): void;
}

interface Message {
  role: string;
  content: string;
}

export class TerminalChat {
  readonly #options: TerminalChatOptions;
  /** Answers are shown one after the other. */
  #shown: Promise<void> = Promise.resolve();
  #hasInterrupted = false;
  #isLost = false;
  #isOver = false;

  constructor(options: TerminalChatOptions) {
    this.#options = options;
    const { client } = options;
    client.on("reconnecting", ({ code, reason }) => {
      if (!this.#isLost) this.#note(`connection lost (${[code, reason].join(" ").trim()}), trying again`);
      this.#isLost = true;
    });
    client.on("open", () => this.#isLost = false);
    client.on("reconnected", ({ resumed }) => {
      this.#isLost = false;
      this.#note(resumed?.recovered === false ? `connected again; ${resumed.reason}` : "connected again");
    });
    client.on("notification", ({ id, content }) => {
      if (id !== undefined) this.#note(content);
    });
    client.on("error", ({ code, message }) => this.#note(`${code}: ${message}`));
    client.on("close", ({ code, reason }) => {
      if (this.#isOver) return;
      this.#note(`closed: ${code} ${reason}`);
      // An idle client continues the session with the next question.
      if (client.status !== "idle") this.#quit(1);
    });
  }

  /** Handles one typed line. Resolves when its result has been shown. */
  async line(line: string): Promise<void> {
    this.#hasInterrupted = false;
    const text = line.trim();
    if (text === "" || this.#isOver) return;
    try {
      if (text.startsWith("/")) await this.#command(text);
      else await this.#ask(text);
    } catch (error) {
      if (!(error instanceof AgentClientError)) throw error;
      this.#note(`${error.code}: ${error.message}`);
    }
  }

  /** Ctrl-C: stops the answer. Quits if there is no answer, or if it is already being stopped. */
  interrupt(): void {
    if (this.#hasInterrupted) return this.#quit(130);
    this.#hasInterrupted = true;
    if (!this.#cancel()) this.#note("Ctrl-C again to quit");
  }

  /** No more lines will come: quits after all answers have been shown. */
  async end(): Promise<void> {
    await this.#shown;
    this.#quit(0);
  }

  #ask(text: string): Promise<void> {
    const turn = this.#options.client.query(text);
    const shown = this.#shown.then(() => this.#show(turn));
    this.#shown = shown.catch(() => {});
    return shown;
  }

  async #show(turn: Turn): Promise<void> {
    const { write } = this.#options;
    let shown: Piece["type"] | undefined;
    try {
      for await (const { type, offset, text } of turn.pieces()) {
        if (type !== shown) write(SWITCH[type][shown ?? "nothing"]);
        // It begins again.
        else if (offset === 0) write("\n");
        shown = type;
        write(text);
      }
    } finally {
      if (shown === "reasoning") write(SWITCH.text.reasoning);
    }
    const { outcome, finishReason } = await turn.final;
    write("\n");
    if (outcome === "cancelled") this.#note(finishReason);
    else if (finishReason !== "stop") this.#note(`ended by ${finishReason}`);
  }

  #cancel(): boolean {
    const running = this.#options.client.turns.find(({ isMine, state }) =>
      isMine && ["waiting", "queued", "running"].includes(state)
    );
    running?.cancel();
    return running !== undefined;
  }

  async #command(text: string): Promise<void> {
    const { client, write } = this.#options;
    const [name = "", argument] = text.split(/\s+/);
    switch (name) {
      case "/help":
        return write(HELP);
      case "/cancel":
        if (!this.#cancel()) this.#note("nothing to cancel");
        return;
      case "/clear":
        return this.#note((await client.command("clear")).content);
      case "/history":
        return this.#list(
          await client.command("history", argument === undefined ? {} : { limit: Number(argument) }),
        );
      case "/model": {
        const { data } = await client.command("configure", argument === undefined ? {} : { model: argument });
        return this.#note(`model: ${data?.model}`);
      }
      case "/new":
        this.#isOver = true;
        client.close({ forget: true });
        this.#isOver = false;
        await client.connect();
        return this.#note("a fresh session");
      case "/sessions":
      case "/status":
        return write(
          `${
            JSON.stringify((await client.command(name === "/status" ? "status" : "sessions")).data, null, 2)
          }\n`,
        );
      case "/quit":
      case "/exit":
        return this.#quit(0);
      default:
        return this.#note(`there is no ${name}; /help says what there is`);
    }
  }

  #list({ data }: StatusFrame): void {
    const messages = (data?.messages ?? []) as Message[];
    for (const { role, content } of messages) {
      this.#options.write(`${role === "user" ? "> " : ""}${content}\n`);
    }
  }

  /** Prints text that did not come from the model. */
  #note(text: string): void {
    this.#options.write(`[${text}]\n`);
  }

  #quit(code: number): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#options.client.close();
    this.#options.onQuit(code);
  }
}
