/**
 * Checks of JSON values by hand. A worker that has just started checks its first frame with these: loading zod and building its
 * schemas would take more CPU than the whole first answer. The schemas of `client_frames.ts` say the same, and a test holds the two together.
 */

import { TOO_DEEP, wellFormedJson } from "./json_value.ts";

/** The checked value, or what was expected of which part of it. */
export type Checked = { value: unknown } | Wrong;
/** Why a value was refused. */
export interface Wrong {
  /** The names of the fields on the way to the part. */
  path: readonly string[];
  expected: string;
}
/** Checks a value. Never throws. */
export type Check = (value: unknown) => Checked;

/** A refusal. `path`: the names of the fields on the way to the part. */
export function wrong(expected: string, path: readonly string[] = []): Wrong {
  return { path, expected };
}

/** Text of `min` to `max` UTF-16 units. Lone surrogates are replaced by U+FFFD. */
export function text({ min = 0, max = Infinity }: { min?: number; max?: number } = {}): Check {
  return (value) => {
    if (typeof value !== "string") return wrong("must be a string");
    if (value.length < min) return wrong("must not be empty");
    if (value.length > max) return wrong(`must have at most ${max} characters`);
    return { value: value.toWellFormed() };
  };
}

/** A key of the client's: changing a lone surrogate in it would make it another key, so it is refused. */
export function key(max: number): Check {
  return (value) => {
    if (typeof value !== "string") return wrong("must be a string");
    if (value === "") return wrong("must not be empty");
    if (value.length > max) return wrong(`must have at most ${max} characters`);
    return value.isWellFormed() ? { value } : wrong("must be well-formed Unicode");
  };
}

/** A finite number from `min` to `max`. */
export function number(min: number, max: number): Check {
  return (value) => {
    if (typeof value !== "number" || !Number.isFinite(value)) return wrong("must be a number");
    return value >= min && value <= max ? { value } : wrong(`must be from ${min} to ${max}`);
  };
}

/** A whole number. `tooSmall` and `tooLarge`: what is said then. */
export function whole(
  { min, max = Infinity, tooSmall, tooLarge = tooSmall }: {
    min: number;
    max?: number;
    tooSmall: string;
    tooLarge?: string;
  },
): Check {
  return (value) => {
    if (!Number.isSafeInteger(value)) return wrong("must be a whole number");
    if (Number(value) < min) return wrong(tooSmall);
    return Number(value) > max ? wrong(tooLarge) : { value };
  };
}

/** `true` or `false`. */
export function flag(value: unknown): Checked {
  return typeof value === "boolean" ? { value } : wrong("must be true or false");
}

/** Any JSON value that stores and providers take. */
export function json(value: unknown): Checked {
  const taken = wellFormedJson(value);
  return taken === TOO_DEEP ? wrong("must not be nested more than 100 levels deep") : { value: taken };
}

/** One of a few values. `said`: all of them in words. */
export function oneOf(values: readonly unknown[], said: string): Check {
  return (value) => values.includes(value) ? { value } : wrong(`must be ${said}`);
}

/** A check with another behind it. */
export function refined(check: Check, holds: (value: never) => boolean, expected: string): Check {
  return (value) => {
    const checked = check(value);
    return "value" in checked && !holds(checked.value as never) ? wrong(expected) : checked;
  };
}

/** Of {@linkcode fields}. */
export interface FieldsOptions {
  /** Fields that must be there. The others may be left out. */
  required?: readonly string[];
  /** What is said of a field that is not known; by default such fields are ignored. */
  unknown?: (name: string) => string;
}

/** An object with these fields; what is left out stays left out. */
export function fields(
  checks: Readonly<Record<string, Check>>,
  { required = [], unknown }: FieldsOptions = {},
): Check {
  return (value) => {
    if (!isObject(value)) return wrong("must be an object");
    const taken: Record<string, unknown> = {};
    for (const [name, check] of Object.entries(checks)) {
      if (!Object.hasOwn(value, name) && !required.includes(name)) continue;
      const checked = check(value[name]);
      if (!("value" in checked)) return wrong(checked.expected, [name, ...checked.path]);
      taken[name] = checked.value;
    }
    const other = unknown === undefined
      ? undefined
      : Object.keys(value).find((name) => !Object.hasOwn(checks, name));
    return other === undefined || unknown === undefined ? { value: taken } : wrong(unknown(other));
  };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
