/**
 * The project's own lint rules, run by `deno lint` (deno.json, `lint.plugins`):
 *
 * - `agent/one-way-street`: imports in deployed code go down the layers of `lint/layers.ts`, never up or across.
 * - `agent/no-ambient-io`: time, randomness, environment and network come through the ports (`lint/ambient_io.ts`).
 */

import { noAmbientIo } from "./lint/ambient_io.ts";
import { oneWayStreet } from "./lint/one_way_street.ts";

// The plugin API requires a default export.
export default {
  name: "agent",
  rules: { "one-way-street": oneWayStreet, "no-ambient-io": noAmbientIo },
} satisfies Deno.lint.Plugin;
