/** A conversation in lines: `line` takes the typed input, `write` prints the output. */

import { AgentClientError } from "../error.ts";
import type { StatusFrame } from "../frames.ts";
import type { ToolCall } from "../tool_calls.ts";
import type { ToolClient } from "../tool_client.ts";
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
While a tool call waits for your approval: y, n [why], or e <input as JSON> to approve it with another input.
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
  client: ToolClient;
  write(text: string): void;
  /** The chat has ended; `code` is the process's exit code. */
  onQuit(code: number): void;
}

/** An answer, and what of its text is on the screen. */
interface Showing {
  turn: Turn;
  text: string;
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
  /** The answer that is shown. */
  #showing: Showing | undefined;
  /** Whether the last line on the screen is not complete. */
  #isInLine = false;

  constructor({ write, ...options }: TerminalChatOptions) {
    this.#options = {
      ...options,
      write: (text) => {
        if (text !== "") this.#isInLine = !text.endsWith("\n");
        write(text);
      },
    };
    const { client } = options;
    client.on("call", (call) => this.#showCall(call));
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
      else await (this.#decide(text) ?? this.#ask(text));
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
    let last: Piece["type"] | undefined;
    let text = "";
    const showing: Showing = this.#showing = { turn, text };
    try {
      for await (const piece of turn.pieces()) {
        const { type, offset } = piece;
        if (type === "text") text = text.slice(0, offset) + piece.text;
        // A call has brought it on the screen already.
        if (type === "text" && showing.text.startsWith(text)) continue;
        const begins = type === "text" ? !text.startsWith(showing.text) : offset === 0;
        if (type !== last) write(SWITCH[type][last ?? "nothing"]);
        else if (begins) write("\n");
        last = type;
        if (type === "reasoning") write(piece.text);
        else {
          write(begins ? text : text.slice(showing.text.length));
          showing.text = text;
        }
      }
    } finally {
      if (last === "reasoning") write(SWITCH.text.reasoning);
      this.#showing = undefined;
    }
    const { outcome, finishReason } = await turn.final;
    write("\n");
    if (outcome === "cancelled") this.#note(finishReason);
    else if (finishReason !== "stop") this.#note(`ended by ${finishReason}`);
  }

  #showCall({ name, input, state, output = "", decision }: ToolCall): void {
    this.#catchUp();
    const words = lineOf(name, JSON.stringify(input));
    if (state === "pending") return this.#note(words);
    if (state === "approval") return this.#note(`${words}: allow it? y, n [why], or e <other input as JSON>`);
    if (state === "client") return this.#note(`${words}: waits for an app that has this tool`);
    const why = decision?.comment ?? "";
    if (state !== "approved" && state !== "running") this.#note(lineOf(`${name} ${state}`, output || why));
  }

  /** The text of a step comes before its calls. */
  #catchUp(): void {
    const showing = this.#showing;
    if (showing === undefined || !showing.turn.text.startsWith(showing.text)) return;
    this.#options.write(showing.turn.text.slice(showing.text.length));
    showing.text = showing.turn.text;
  }

  /** A line that decides about the oldest call that waits for approval. Undefined if it is none. */
  #decide(line: string): Promise<void> | undefined {
    const { client } = this.#options;
    const [approval] = client.approvals;
    const [, letter = "", rest = ""] = /^([yne])(?:\s+(.*))?$/is.exec(line) ?? [];
    if (approval === undefined || letter === "") return undefined;
    const { approvalId } = approval;
    if (letter.toLowerCase() === "y") return client.approve(approvalId);
    if (letter.toLowerCase() === "n") return client.reject(approvalId, rest);
    const input = parse(rest);
    if (input !== undefined) return client.modify(approvalId, input.value);
    this.#note('after e comes the input as JSON, for example: e {"amount": 10}');
    return Promise.resolve();
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
    this.#options.write(`${this.#isInLine ? "\n" : ""}[${text}]\n`);
  }

  #quit(code: number): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#options.client.close();
    this.#options.onQuit(code);
  }
}

/** The most of an input or an output that is shown. */
const MAX_SHOWN_CHARS = 500;

/** On one line, and without the control characters with which a text could command the terminal. */
function lineOf(name: string, text: string): string {
  const shown = text.length > MAX_SHOWN_CHARS ? `${text.slice(0, MAX_SHOWN_CHARS)}…` : text;
  return `${name} ${shown}`.replaceAll(/\p{Cc}+/gu, " ").trim();
}

function parse(json: string): { value: unknown } | undefined {
  try {
    return { value: JSON.parse(json) };
  } catch {
    return undefined;
  }
}
