/** `agent/no-ambient-io`: what a module of `_shared` may not reach for by itself, because a port gives it. */

import { placeOf } from "./layers.ts";
import { isDeclared, isReference } from "./scopes.ts";

/** The one room where ports are implemented. */
const EXEMPT_ROOM = "platform";

interface Ambient {
  /** Where it should come from. */
  instead: string;
  /** Members that are pure. Without them any use of the name is refused. */
  pure?: readonly string[];
}

const CLOCK = "the Clock port";
const IDS = "the Ids port";
const LOG = "the Log port";
const NETWORK = "a port, or a function passed in by index.ts";
const PLATFORM = "an argument that index.ts or platform/ fills";

const AMBIENT: ReadonlyMap<string, Ambient> = new Map<string, Ambient>([
  ["Date", { instead: CLOCK, pure: ["parse", "UTC"] }],
  ["performance", { instead: CLOCK }],
  ["setTimeout", { instead: CLOCK }],
  ["setInterval", { instead: CLOCK }],
  ["setImmediate", { instead: CLOCK }],
  ["clearTimeout", { instead: CLOCK }],
  ["clearInterval", { instead: CLOCK }],
  ["AbortSignal", { instead: CLOCK, pure: ["abort", "any"] }],
  ["Temporal", { instead: CLOCK }],
  ["Math", { instead: IDS, pure: pureMembers(Math, ["random"]) }],
  // SubtleCrypto is arithmetic; its key generation is the exception that review must see.
  ["crypto", { instead: IDS, pure: ["subtle"] }],
  ["console", { instead: LOG }],
  ["fetch", { instead: NETWORK }],
  ["WebSocket", { instead: NETWORK, pure: ["CONNECTING", "OPEN", "CLOSING", "CLOSED"] }],
  ["WebSocketStream", { instead: NETWORK }],
  ["EventSource", { instead: NETWORK }],
  ["XMLHttpRequest", { instead: NETWORK }],
  ["BroadcastChannel", { instead: NETWORK }],
  ["Worker", { instead: NETWORK }],
  ["Deno", { instead: PLATFORM }],
  ["EdgeRuntime", { instead: PLATFORM }],
  ["process", { instead: PLATFORM }],
  ["navigator", { instead: PLATFORM }],
  ["caches", { instead: PLATFORM }],
  ["localStorage", { instead: PLATFORM }],
  ["sessionStorage", { instead: PLATFORM }],
  ["addEventListener", { instead: PLATFORM }],
  ["removeEventListener", { instead: PLATFORM }],
  ["dispatchEvent", { instead: PLATFORM }],
  ["globalThis", { instead: PLATFORM }],
  ["global", { instead: PLATFORM }],
  ["self", { instead: PLATFORM }],
  ["window", { instead: PLATFORM }],
]);

export const noAmbientIo: Deno.lint.Rule = {
  create(context): Deno.lint.LintVisitor {
    const place = placeOf(context.filename);
    if (place.kind !== "room" || place.room === EXEMPT_ROOM) return {};
    // A shorthand property is visited as its key and as its value.
    const seen = new Set<number>();
    return {
      Identifier(node): void {
        const ambient = AMBIENT.get(node.name);
        if (ambient === undefined || seen.has(node.range[0])) return;
        if (!isReference(node) || isPureUse(node, ambient) || isDeclared(node)) return;
        seen.add(node.range[0]);
        context.report({
          node,
          message: `Cannot use "${node.name}" here: nothing outside platform/ does IO of its own`,
          hint: `Take it from ${ambient.instead}`,
        });
      },
    };
  },
};

function isPureUse(node: Deno.lint.Identifier, { pure = [] }: Ambient): boolean {
  const { parent } = node;
  switch (parent.type) {
    case "MemberExpression":
      return parent.object === node && !parent.computed && parent.property.type === "Identifier" &&
        pure.includes(parent.property.name);
    case "NewExpression":
      // Without arguments it reads the clock.
      return node.name === "Date" && parent.callee === node && parent.arguments.length > 0;
    case "BinaryExpression":
      return parent.operator === "instanceof" && parent.right === node;
    default:
      return false;
  }
}

function pureMembers(of: object, except: readonly string[]): readonly string[] {
  return Object.getOwnPropertyNames(of).filter((name) => !except.includes(name));
}
