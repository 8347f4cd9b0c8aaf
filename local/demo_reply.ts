/** The answers of the mock model. Pure: the same conversation gets the same answer. */

import { obey, type PromptMessage, readAskedTo } from "./asked_to.ts";
import { type DemoCall, demoStep, type DemoTool } from "./demo_tools.ts";

/** A message with what it has of tools. */
export interface DemoMessage extends PromptMessage {
  /** Of an assistant: the names of the tools that it has called. */
  called?: readonly string[];
}

export interface DemoReply {
  text: string;
  /** A tool that it calls instead of an answer. */
  call?: DemoCall;
  /** What the model thinks before the text; empty if it does not think. */
  reasoning: string;
  /** Whether to stream it slowly, so that there is time to cancel it, or to cut the network and resume. */
  slow: boolean;
}

interface Answer {
  asked: RegExp;
  reply(context: Context): string;
  reasoning?: string;
  slow?: boolean;
}

interface Context {
  /** The user's last message. */
  question: string;
  /** The user's earlier messages, oldest first. */
  earlier: readonly string[];
  /** The names of the agent's tools. */
  tools: readonly string[];
}

const STORY = `# The lighthouse that answered letters

There was a lighthouse at the end of a long stone pier, and its keeper, **Ines**, had a habit that nobody had asked for:
she answered letters that were not addressed to her.

They came in bottles, in coat pockets, once inside a loaf of bread. She dried them on the rail of the gallery, read them
by the big lamp, and wrote back, one careful line for each turn of the light.

One winter a storm took the pier. The line was cut in the middle of a sentence, and the boat that carried her answer
turned back with half a page. *"…and so I think you should"*, it said, and nothing more.

The reader waited. A day later another boat came, from another harbour, with another captain, and it carried exactly the
other half: not a word was missing, and not a word was there twice.

"How did you know where I had stopped?" the reader wrote.

"I count," Ines answered. "Every line has its number. You only have to tell me the last one you saw."

In spring they built the pier anew. Ships come and go by it now, and some of them still sink, as ships do. But along that
coast nobody is afraid any longer of a letter that ends in the middle, because everyone knows where the rest is kept:

1. in the lamp room, in a long book,
2. in ink that does not run,
3. one numbered line under the other.

*The end. Ask for the story again, cut your network while it runs, and reconnect with \`last_seq\`.*`;

const ABOUT = `I am the **mock model** of the local stack: no key, no network, the same answer every time. \
Everything around me is real: the WebSocket, the session, the queue, the store.

Set \`OPENROUTER_API_KEY\` (in the environment or in \`.env\`) and start again, and a real model answers here.`;

const RIDDLE = `It is **a towel**.

How I got there is in the \`reasoning\` frames before this answer: only a connection with \`?reasoning=true\` gets them, and \
they are in no log.`;

const RIDDLE_REASONING = `The riddle: what gets wetter the more it dries?
Something that dries is usually the thing that loses its water. But "to dry" has two meanings: to become dry, and to make \
something else dry. So I look for a thing that dries other things. The sun does, and does not get wet. A towel does: it takes \
up the water of whatever it dries.
That fits both halves.`;

const CANCEL = `Ask me for *a long story*, and while it streams send

\`\`\`json
{"type": "command", "content": "cancel"}
\`\`\`

The answer stops within a second, and what came until then stays in the conversation.`;

const RESUME = `The welcome has your \`session_id\` and, if you are not signed in, a \`resume_token\`. \
Every durable event has a \`seq\`. After a cut, connect again with both and with the last \`seq\` you saw:

\`\`\`
?stream=true&session_id=…&resume_token=…&last_seq=…
\`\`\`

What you missed comes first, in order, then live events. Try it in the middle of *a long story*.`;

const ORDERS = "- `which orders do I have?`\n- `refund order …`, with the number of one of them\n";

const ANSWERS: readonly Answer[] = [
  { asked: /\b(long story|tell me a story|story)\b/i, reply: () => STORY, slow: true },
  {
    asked: /\bwhat (did|have) i (just )?(say|said|ask|asked)\b|\b(do you )?remember\b/i,
    reply: ({ earlier }) =>
      earlier.length === 0
        ? "This is the first thing you have said in this conversation."
        : `You said, oldest first:\n\n${
          earlier.map((text, index) => `${index + 1}. ${quote(text)}`).join("\n")
        }`,
  },
  { asked: /\briddle\b/i, reply: () => RIDDLE, reasoning: RIDDLE_REASONING },
  { asked: /\b(cancel|stop|abort)\b/i, reply: () => CANCEL },
  { asked: /\b(resum\w*|reconnect\w*|last_seq)\b/i, reply: () => RESUME },
  { asked: /\b(who|what) are you\b|\bmock\b|\bwhat is this\b/i, reply: () => ABOUT },
  {
    asked: /\b(help|what can you do)\b/i,
    reply: ({ tools }) =>
      `Try one of these:\n\n${tools.includes("refund_order") ? ORDERS : ""}` +
      "- `tell me a long story`\n- `think about a riddle`\n- `how do I cancel?`\n" +
      "- `how do I resume?`\n- `what did I say before?`\n- `what are you?`",
  },
  {
    asked: /^\s*(hi|hello|hey|good (morning|afternoon|evening))\b/i,
    reply: ({ earlier }) =>
      earlier.length === 0
        ? "Hello! I am the mock model of your **local stack**. Ask me `help` for what I can do."
        : "Hello again!",
  },
];

/** The answer to the last question, or the rest of it where that is asked for; with `tools` it may call one first. */
export function demoReply(messages: readonly DemoMessage[], tools: readonly DemoTool[] = []): DemoReply {
  const { asked, rest } = readAskedTo(messages);
  const step = stepOf(rest, tools);
  if (step !== undefined) {
    const of = "call" in step ? { text: "", call: step.call } : { text: obey(asked, step.text) };
    return { ...of, reasoning: "", slow: false };
  }
  const said = rest.filter(({ role }) => role === "user").map(({ content }) => content);
  const question = said.at(-1) ?? "";
  const context = { question, earlier: said.slice(0, -1), tools: tools.map(({ name }) => name) };
  const answer = ANSWERS.find(({ asked }) => asked.test(question));
  const text = answer === undefined
    ? `You said: ${quote(question)}\n\nI am only the mock model; ask me \`help\` for what I can do.`
    : answer.reply(context);
  return {
    text: obey(asked, text),
    reasoning: asked.kind === "answer" ? answer?.reasoning ?? "" : "",
    slow: answer?.slow ?? false,
  };
}

function stepOf(messages: readonly DemoMessage[], tools: readonly DemoTool[]): ReturnType<typeof demoStep> {
  const at = messages.findLastIndex(({ role }) => role === "user");
  const results = (part: readonly DemoMessage[]): string[] =>
    part.filter(({ role }) => role === "tool").map(({ content }) => content);
  const since = messages.slice(at + 1);
  return demoStep({
    question: messages[at]?.content ?? "",
    results: results(since),
    earlier: results(messages.slice(0, Math.max(0, at))),
    called: since.flatMap(({ called = [] }) => called),
    tools,
  });
}

function quote(text: string): string {
  return `“${text.trim()}”`;
}
