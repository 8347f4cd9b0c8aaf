/**
 * Checks what the developer has defined, and names every mistake at once, as config.ts does with the environment. A type checker finds
 * most of them, but a deployment does not run one.
 */

import { dialectOf, type DialectSetting, MAX_OPENROUTER_MODELS } from "../model_dialect.ts";
import type { ToolSpec } from "../ports/model.ts";
import { type AgentDefinition, type AgentOptions, type AgentsDefinition, DEFAULT_AGENT } from "./define.ts";
import { isObject, parametersOf } from "./input_schema.ts";
import { MCP_SEPARATOR } from "./mcp_port.ts";
import type { Tool } from "./tool.ts";

/** What providers accept as the name of a tool. */
const TOOL_NAME = /^[a-zA-Z0-9_-]{1,64}$/;
/** An agent's name goes into URLs and rows. */
const AGENT_NAME = /^[a-z0-9][a-z0-9_-]{0,63}$/;
/** OpenAI accepts no more. */
export const MAX_TOOLS = 128;

/** A tool of the developer, ready for use. */
export interface ReadyTool {
  readonly tool: Tool;
  readonly spec: ToolSpec;
  readonly acts: "user" | "service" | "nobody";
  readonly timeoutMs: number | undefined;
  readonly isIdempotent: boolean;
}

/** An agent without mistakes. */
export interface ReadyAgent {
  readonly name: string;
  readonly options: AgentOptions;
  readonly tools: ReadonlyMap<string, ReadyTool>;
}

export interface CheckedAgents {
  readonly agents: ReadonlyMap<string, ReadyAgent>;
  readonly defaultName: string;
  /** Every mistake: one `agent.ts: …` each. With any, the agents must not be used. */
  readonly problems: readonly string[];
}

/** The endpoint of the model: OpenRouter takes a few models only. */
export interface ModelEndpoint {
  OPENROUTER_BASE_URL: string;
  MODEL_DIALECT: DialectSetting;
}

export function checkAgents(definition: unknown, endpoint: ModelEndpoint): CheckedAgents {
  const problems: string[] = [];
  const note = (problem: string): void => void problems.push(`agent.ts: ${problem}`);
  const agents = new Map<string, ReadyAgent>();
  if (isAgent(definition)) {
    agents.set(DEFAULT_AGENT, checkAgent(DEFAULT_AGENT, definition.options, { endpoint, note }));
    return { agents, defaultName: DEFAULT_AGENT, problems };
  }
  if (!isAgents(definition)) {
    note("must export defineAgent({…}) or defineAgents({…}) as its default");
    return { agents, defaultName: DEFAULT_AGENT, problems };
  }
  for (const [name, agent] of Object.entries(definition.agents)) {
    const noteAgent = (problem: string): void => note(`agent "${name}": ${problem}`);
    if (!AGENT_NAME.test(name)) {
      noteAgent("its name must have lower-case letters, digits, _ and - only, at most 64");
    }
    if (!isAgent(agent)) noteAgent("must be made by defineAgent({…})");
    else agents.set(name, checkAgent(name, agent.options, { endpoint, note: noteAgent }));
  }
  const { defaultName } = definition;
  if (Object.keys(definition.agents).length === 0) note("defineAgents must have at least one agent");
  else if (!Object.hasOwn(definition.agents, defaultName)) {
    note(`there is no agent "${defaultName}", the default`);
  }
  return { agents, defaultName, problems };
}

function isAgent(value: unknown): value is AgentDefinition {
  return isObject(value) && value.kind === "agent" && isObject(value.options);
}

function isAgents(value: unknown): value is AgentsDefinition {
  return isObject(value) && value.kind === "agents" && isObject(value.agents) &&
    typeof value.defaultName === "string";
}

type Note = (problem: string) => void;
type Expected = readonly [holds: (value: unknown) => boolean, expected: string];

const TEXT: Expected = [
  (value) => typeof value === "string" && value.trim() !== "",
  "be text that is not empty",
];
const FLAG: Expected = [(value) => typeof value === "boolean", "be true or false"];
const FUNCTION: Expected = [(value) => typeof value === "function", "be a function"];
const COUNT: Expected = [
  (value) => Number.isSafeInteger(value) && Number(value) >= 1,
  "be a whole number, 1 or more",
];
const TEXTS: Expected = [
  (value) => Array.isArray(value) && value.every((item) => TEXT[0](item)),
  "be a list of texts that are not empty",
];
const either = (...some: readonly Expected[]): Expected => [
  (value) => some.some(([holds]) => holds(value)),
  some.map(([, expected]) => expected).join(", or "),
];
const oneOf = (...words: readonly string[]): Expected => [
  (value) => typeof value === "string" && words.includes(value),
  `be ${words.slice(0, -1).join(", ")} or ${words.at(-1)}`,
];

const AGENT_OPTIONS: Readonly<Record<keyof AgentOptions, Expected>> = {
  instructions: either(TEXT, FUNCTION),
  tools: [isObject, "be an object of tools by name"],
  mcp: [Array.isArray, "be a list of mcpServer({…})"],
  model: TEXT,
  fallbacks: TEXTS,
  temperature: [(value) => typeof value === "number" && value >= 0 && value <= 2, "be a number from 0 to 2"],
  maxTokens: COUNT,
  maxSteps: COUNT,
  onTurnEnd: FUNCTION,
};

const COMMON_OPTIONS: Readonly<Record<string, Expected>> = {
  description: TEXT,
  // Checked by parametersOf, which says more.
  input: [() => true, ""],
  approval: [
    (value) => value === true || typeof value === "function",
    "be true or a function (left out, no approval is needed)",
  ],
  idempotent: FLAG,
  as: oneOf("user", "service", "nobody"),
  timeoutMs: COUNT,
};

const TOOL_OPTIONS: Readonly<Record<Tool["target"]["kind"], Readonly<Record<string, Expected>>>> = {
  code: { ...COMMON_OPTIONS, execute: FUNCTION },
  client: COMMON_OPTIONS,
  function: COMMON_OPTIONS,
  rpc: { ...COMMON_OPTIONS, keyArgument: TEXT },
};

const MCP_OPTIONS: Readonly<Record<string, Expected>> = {
  url: [
    (value) => typeof value === "string" && /^https?:\/\//i.test(value) && URL.canParse(value),
    "be an http or https URL",
  ],
  name: [
    (value) => typeof value === "string" && /^[a-zA-Z0-9_-]{1,32}$/.test(value),
    "have letters, digits, _ and - only, at most 32",
  ],
  tools: TEXTS,
  headers: either([
    (value) => isObject(value) && Object.values(value).every((one) => typeof one === "string"),
    "be an object of texts",
  ], FUNCTION),
  approval: oneOf("auto", "always", "never"),
};

/** Options that are set but undefined count as left out. */
function checkOptions(options: object, known: Readonly<Record<string, Expected>>, note: Note): void {
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined) continue;
    const expectation = Object.hasOwn(known, name) ? known[name] : undefined;
    if (expectation === undefined) note(`unknown option "${name}"`);
    else if (!expectation[0](value)) note(`${name} must ${expectation[1]}`);
  }
}

interface Checking {
  endpoint: ModelEndpoint;
  note: Note;
}

function checkAgent(name: string, options: AgentOptions, { endpoint, note }: Checking): ReadyAgent {
  checkOptions(options, AGENT_OPTIONS, note);
  checkModels(options, endpoint, note);
  const tools = new Map<string, ReadyTool>();
  const given = isObject(options.tools) ? Object.entries(options.tools) : [];
  for (const [toolName, tool] of given) {
    const ready = checkTool(toolName, tool, (problem) => note(`tool "${toolName}": ${problem}`));
    if (ready !== undefined) tools.set(toolName, ready);
  }
  if (given.length > MAX_TOOLS) note(`has ${given.length} tools: providers accept at most ${MAX_TOOLS}`);
  checkMcp(options.mcp, new Set(given.map(([toolName]) => toolName)), note);
  return { name, options, tools };
}

function checkModels({ model, fallbacks }: AgentOptions, endpoint: ModelEndpoint, note: Note): void {
  if (!Array.isArray(fallbacks)) return;
  if (fallbacks.length > 0 && model === undefined) note("fallbacks needs model, whose place they take");
  const isOpenRouter = dialectOf(endpoint.OPENROUTER_BASE_URL, endpoint.MODEL_DIALECT) === "openrouter";
  if (isOpenRouter && fallbacks.length >= MAX_OPENROUTER_MODELS) {
    note(
      `fallbacks must have at most ${
        MAX_OPENROUTER_MODELS - 1
      } models, because OpenRouter takes three with model`,
    );
  }
}

function isTool(value: unknown): value is Tool {
  return isObject(value) && isObject(value.target) && isObject(value.options) &&
    typeof value.bind === "function";
}

function checkTool(name: string, tool: unknown, note: Note): ReadyTool | undefined {
  if (!TOOL_NAME.test(name)) note("its name must have letters, digits, _ and - only, at most 64");
  if (!isTool(tool)) return void note("must be made by tool({…}), functionTool(…) or rpcTool(…)");
  const { options, target } = tool;
  checkOptions(options, TOOL_OPTIONS[target.kind], note);
  const { description, as, timeoutMs, idempotent } = options;
  if (description === undefined) note("description must be set: the model reads it");
  if (target.kind === "client") {
    for (const option of ["approval", "as", "idempotent", "timeoutMs"]) {
      if (options[option] !== undefined) note(`${option} needs execute: without it a client runs the call`);
    }
  }
  if ((target.kind === "function" || target.kind === "rpc") && !/^[\w-]{1,64}$/.test(String(target.name))) {
    note(
      `the name of the ${
        target.kind === "rpc" ? "database" : "edge"
      } function must have letters, digits, _ and - only`,
    );
  }
  if (target.kind === "rpc" && as === "nobody") {
    note('as must be "user" or "service": the database needs one of them');
  }
  const checked = parametersOf(options.input);
  if ("problem" in checked) return void note(`input ${checked.problem}`);
  const { parameters } = checked;
  if (target.kind === "rpc" && isObject(parameters.properties) && target.keyArgument !== undefined) {
    if (target.keyArgument in parameters.properties) {
      note("keyArgument must not be a property of input: the model would set it");
    }
  }
  return {
    tool,
    spec: { name, description: String(description), parameters },
    acts: as === "service" || as === "nobody" ? as : "user",
    timeoutMs: typeof timeoutMs === "number" ? timeoutMs : undefined,
    isIdempotent: idempotent === true,
  };
}

/** What is known of the servers' tools before they are asked: `name` and the allow-list. */
function checkMcp(servers: AgentOptions["mcp"], taken: Set<string>, note: Note): void {
  const prefixes = new Set<string>();
  for (const [index, definition] of (Array.isArray(servers) ? servers : []).entries()) {
    const noteServer = (problem: string): void => note(`mcp[${index}]: ${problem}`);
    const server: unknown = isObject(definition) && definition.kind === "mcp"
      ? definition.options
      : undefined;
    if (!isObject(server)) {
      noteServer("must be made by mcpServer({…}) of _shared/agent/mcp.ts");
      continue;
    }
    checkOptions(server, MCP_OPTIONS, noteServer);
    if (server.url === undefined) noteServer("url must be set");
    if (typeof server.name === "string") {
      if (prefixes.has(server.name)) noteServer(`name "${server.name}" is taken by another server`);
      prefixes.add(server.name);
    }
    for (const tool of Array.isArray(server.tools) ? server.tools : []) {
      const name = typeof server.name === "string" ? `${server.name}${MCP_SEPARATOR}${tool}` : String(tool);
      if (taken.has(name)) noteServer(`there are two tools named "${name}": give the server a name`);
      taken.add(name);
    }
  }
}
