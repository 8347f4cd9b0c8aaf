/**
 * How the text of an environment variable becomes a value: by what it must be, and what it is where it is not set.
 *
 * The one check without zod, which would take a worker longer than all else before its first frame (docs/decisions/0031).
 */

/** What a value must be. */
export class Mistake extends Error {}

function must(holds: boolean, expected: string): asserts holds {
  if (!holds) throw new Mistake(`must ${expected}`);
}

/** The value of one name; undefined where it is not in the environment. Throws a {@linkcode Mistake}. */
export type Setting<T> = (value: string | undefined) => T;
export type Reader<T> = (value: string) => T;

/** An empty value counts as not set. */
export function optional<T>(read: Reader<T>): Setting<T | undefined> {
  return (value) => value === undefined || value === "" ? undefined : read(value);
}

/** An empty value counts as not set. */
export function otherwise<T>(ifNotSet: T, read: Reader<T>): Setting<T> {
  return (value) => value === undefined || value === "" ? ifNotSet : read(value);
}

/** An empty value is undefined, which differs from not set. */
export function orEmpty<T>(ifNotSet: T, read: Reader<T>): Setting<T | undefined> {
  return (value) => value === "" ? undefined : value === undefined ? ifNotSet : read(value);
}

export function text(value: string): string {
  const trimmed = value.trim();
  must(trimmed !== "", "not be empty");
  return trimmed;
}

export function url(value: string): string {
  const trimmed = value.trim();
  must(/^https?:\/\//i.test(trimmed) && URL.canParse(trimmed), "be an http or https URL");
  return trimmed;
}

/** The same without slashes at its end, so that a path may follow. */
export function baseUrl(value: string): string {
  return url(value).replace(/\/+$/, "");
}

export function path(value: string): string {
  must(/^\/[\w./-]*[\w.-]$/.test(value.trim()), "be a path such as /api/v1/activity/live");
  return value.trim();
}

/** The name of an HTTP header, in lower case. */
export function headerName(value: string): string {
  const name = value.trim().toLowerCase();
  must(/^[a-z][a-z0-9-]*$/.test(name), "be the name of a header such as cf-connecting-ip");
  return name;
}

/** A number from `min` up; the text must be a plain decimal, so that "1e3", "0x10" and " " are mistakes. */
export function number(min: number, max: number): Reader<number> {
  return (value) => {
    must(/^-?\d+(\.\d+)?$/.test(value), "be a number");
    return inRange(Number(value), min, max);
  };
}

export function whole(min: number, max = Number.MAX_SAFE_INTEGER): Reader<number> {
  return (value) => {
    must(/^-?\d+$/.test(value), "be a whole number");
    return inRange(Number(value), min, max);
  };
}

function inRange(value: number, min: number, max: number): number {
  must(value >= min, `be ${min} or more`);
  must(value <= max, `be ${max} or less`);
  return value;
}

/** A timer's length: what `setTimeout` can hold. */
export function durationMs(min: number): Reader<number> {
  return whole(min, 2_147_483_647);
}

export function oneOf<const Word extends string>(...words: readonly Word[]): Reader<Word> {
  const all = `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;
  return (value) => {
    const word = words.find((word) => word === value);
    must(word !== undefined, `be ${all}`);
    return word;
  };
}

export function list(value: string): readonly string[] {
  return value.split(",").map((item) => item.trim()).filter((item) => item !== "");
}

/** Roles: `user`, and values of `app_metadata.role`. */
export function roles(value: string): readonly string[] {
  const names = list(value);
  must(
    names.length > 0 && names.every((name) => /^[\w-]+$/.test(name)),
    "be a list of roles such as user,support",
  );
  return names;
}

/** Supabase's JSON objects of named keys, as a list of the keys. */
export function namedKeys(value: string): readonly string[] {
  const expected = "be a JSON object of named keys";
  let named: unknown;
  try {
    named = JSON.parse(value);
  } catch {
    throw new Mistake(`must ${expected}`);
  }
  must(typeof named === "object" && named !== null && !Array.isArray(named), expected);
  return Object.values(named).map((key: unknown) => {
    must(typeof key === "string" && key !== "", expected);
    return key;
  });
}
