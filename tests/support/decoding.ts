/** Helpers for the tests of `decode`. */

import assert from "node:assert/strict";
import { decode, type FrameProblem } from "../../supabase/functions/_shared/protocol/decode.ts";

/** The frame that a JSON value decodes into. Fails if the frame is refused. */
export function frameOf(value: unknown): object {
  const decoded = decode(JSON.stringify(value));
  assert.ok("frame" in decoded, JSON.stringify(decoded));
  return decoded.frame;
}

/** Why a frame is refused. Fails if the frame is accepted. */
export function problemOf(data: string | ArrayBuffer): FrameProblem {
  const decoded = decode(data);
  assert.ok("problem" in decoded, JSON.stringify(decoded));
  return decoded.problem;
}

/** {@linkcode problemOf} a JSON value. */
export function refusal(value: unknown): FrameProblem {
  return problemOf(JSON.stringify(value));
}
