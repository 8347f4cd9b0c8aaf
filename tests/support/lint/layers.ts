/** The one-way street as data, and the judgement on one import. Plain strings in and out, so that tests can use it too. */

import type { ImportKind } from "./imports.ts";

type Layer = 0 | 1 | 2 | 3 | "side";

/** Every file and folder directly in `_shared/`, with its layer (CONTRIBUTING.md has the same as a table). */
export const ROOMS: ReadonlyMap<string, Layer> = new Map<string, Layer>([
  ["ports", 0],
  ["config.ts", 0],
  ["errors.ts", 0],
  ["version.ts", 0],
  ["metrics.ts", 0],
  ["model_dialect.ts", 0],
  ["on_demand.ts", 0],
  ["secrets.ts", 0],
  ["setting.ts", 0],
  ["settled_within.ts", 0],
  ["store_choice.ts", 0],
  ["think_tags.ts", 0],
  ["token_claims.ts", 0],
  ["trusted_issuers.ts", 0],
  ["protocol", 0],
  ["activity", 1],
  ["guard", 1],
  ["usage", 1],
  ["session", 2],
  ["notify", 2],
  ["ai_sdk", 3],
  ["http", 3],
  ["agent", "side"],
  ["openrouter", "side"],
  ["platform", "side"],
]);

/** npm packages that may be deployed. The rooms that may import them; all where none are named. */
const PACKAGES: ReadonlyMap<string, { rooms?: readonly string[]; lazy?: boolean }> = new Map([
  ["zod", {}],
  ["eventsource-parser", { rooms: ["openrouter"] }],
  // ≈ 33 ms of a worker's 2 s of CPU: paid only by the paths that need it.
  ["@supabase/supabase-js", { rooms: ["agent", "platform"], lazy: true }],
  // ≈ 180 ms: paid by agents with MCP servers.
  ["@modelcontextprotocol/sdk", { rooms: ["agent"], lazy: true }],
]);

/** Where a file is, as far as the street goes. */
export type Place =
  | { kind: "room"; room: string }
  | { kind: "function"; name: string }
  | { kind: "elsewhere" };

const ROOT = "/supabase/functions/";

/** Tells where the file with this absolute path, or this `file:` URL, is. */
export function placeOf(path: string): Place {
  const slashes = path.replaceAll("\\", "/");
  const start = slashes.lastIndexOf(ROOT);
  if (start < 0) return { kind: "elsewhere" };
  const [folder = "", second = ""] = slashes.slice(start + ROOT.length).split("/");
  return folder === "_shared" ? { kind: "room", room: second } : { kind: "function", name: folder };
}

/** What is wrong with the place itself, if anything is. */
export function unknownRoom(place: Place): string | undefined {
  if (place.kind !== "room" || ROOMS.has(place.room)) return undefined;
  return `Cannot place "${place.room}": it is no room of _shared. ` +
    "Move the file into a room, or give the new one a layer in tests/support/lint/layers.ts and CONTRIBUTING.md";
}

/** Why the file at `path` must not import this; undefined where it may. */
export function refuseImport(
  path: string,
  { specifier, how }: { specifier: string; how: ImportKind },
): string | undefined {
  const from = placeOf(path);
  if (from.kind === "elsewhere") return undefined;
  if (/^\.{1,2}\//.test(specifier)) {
    const target = new URL(specifier, `file://${path.replaceAll("\\", "/")}`).pathname;
    return refusePlace(from, placeOf(target), specifier);
  }
  if (/^(\/|[a-z][a-z0-9+.-]*:)/i.test(specifier)) {
    return `Cannot deploy "${specifier}": import files by a relative path and npm packages by their bare name`;
  }
  return refusePackage(from, specifier, how);
}

function refusePlace(from: Place, to: Place, specifier: string): string | undefined {
  if (to.kind === "elsewhere") {
    return `Cannot deploy "${specifier}": it is outside supabase/functions, and only what is inside is uploaded`;
  }
  if (to.kind === "function") {
    if (from.kind === "function" && from.name === to.name) return undefined;
    return `Cannot import "${specifier}": a function's own folder is nobody else's; share it through _shared`;
  }
  const unknown = unknownRoom(to);
  if (unknown !== undefined) return unknown;
  if (from.kind !== "room" || from.room === to.room) return undefined;
  const mine = ROOMS.get(from.room);
  const theirs = ROOMS.get(to.room);
  if (mine === undefined || theirs === undefined || mayImport(mine, theirs)) return undefined;
  return `Cannot import "${specifier}": ${named(from.room)} may import ${allowed(mine)}, ` +
    `and ${named(to.room)} is ${theirs === "side" ? "a side room" : `layer ${theirs}`}`;
}

function mayImport(mine: Layer, theirs: Layer): boolean {
  if (theirs === "side") return false;
  return mine === "side" || mine === 0 ? theirs === 0 : theirs < mine;
}

function allowed(mine: Layer): string {
  if (mine === "side" || mine === 0) return "layer 0 only";
  return `layers below its own (${mine}) only, and not its neighbours`;
}

function named(room: string): string {
  return room.endsWith(".ts") ? room : `${room}/`;
}

function refusePackage(from: Place, specifier: string, how: ImportKind): string | undefined {
  const name = specifier.split("/").slice(0, specifier.startsWith("@") ? 2 : 1).join("/");
  const allowance = PACKAGES.get(name);
  if (allowance === undefined) {
    return `Cannot deploy "${name}": only ${[...PACKAGES.keys()].join(", ")} are deployed; ` +
      "another package needs a decision record (docs/decisions)";
  }
  const { rooms, lazy = false } = allowance;
  if (rooms !== undefined && !(from.kind === "room" && rooms.includes(from.room))) {
    return `Cannot import "${name}": only ${rooms.map(named).join(", ")} may`;
  }
  if (lazy && how === "static") {
    return `Cannot import "${name}" statically: it is slow to load; use "import type" and "await import()"`;
  }
  return undefined;
}
