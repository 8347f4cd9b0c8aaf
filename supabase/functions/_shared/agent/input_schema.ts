/**
 * The input of a tool: a schema that checks values and is known as JSON Schema.
 *
 * Schemas are used through the Standard Schema interface, which zod 4 implements (https://standardschema.dev). So nothing
 * here loads zod: a file that has tools has loaded it already.
 */

/** What is wrong with a value. */
export interface InputIssue {
  readonly message: string;
  readonly path?: ReadonlyArray<PropertyKey | { readonly key: PropertyKey }> | undefined;
}

type Validated<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly InputIssue[] };

/** A schema of zod 4, or of another library that implements Standard Schema with JSON Schema. `Output` is what it parses to. */
export interface InputSchema<Output = unknown> {
  readonly "~standard": {
    readonly validate: (value: unknown) => Validated<Output> | Promise<Validated<Output>>;
    readonly types?: { readonly input: unknown; readonly output: Output } | undefined;
  };
}

type Json = Readonly<Record<string, unknown>>;

/** Longest JSON Schema of an input, in characters. Every request to the model carries it. */
export const MAX_SCHEMA_CHARS = 32_768;
/** Deepest nesting of a schema. */
const MAX_DEPTH = 32;
/** Names of properties that Anthropic accepts; other providers accept them too. */
const PROPERTY_NAME = /^[a-zA-Z0-9_.-]{1,64}$/;

/** Keywords whose value is one schema, a list of schemas, and named schemas. */
const ONE = ["items", "additionalProperties", "contains", "propertyNames", "not", "if", "then", "else"];
const LIST = ["anyOf", "oneOf", "allOf", "prefixItems"];
const NAMED = ["properties", "patternProperties", "dependentSchemas"];

/** The JSON Schema of an input, as providers accept it, or what is wrong with it. */
export function parametersOf(input: unknown): { parameters: Json } | { problem: string } {
  const standard: unknown = isObject(input) || typeof input === "function"
    ? Reflect.get(input, "~standard")
    : undefined;
  if (!isObject(standard) || typeof standard.validate !== "function") {
    return { problem: "must be a schema, such as z.object({})" };
  }
  const { jsonSchema } = standard;
  if (!isObject(jsonSchema) || typeof jsonSchema.input !== "function") {
    return { problem: "must be a schema that has a JSON Schema: one of zod 4, not of zod/mini" };
  }
  try {
    const schema: unknown = jsonSchema.input({ target: "draft-2020-12" });
    return providerSchema(schema, { closed: true });
  } catch (error) {
    return { problem: `has no JSON Schema: ${error instanceof Error ? error.message : "unknown error"}` };
  }
}

/**
 * A JSON Schema as providers accept it for the parameters of a tool: an object at the top, without `$schema` and `$ref`.
 * With `closed`, objects take no properties that are not named.
 */
export function providerSchema(
  schema: unknown,
  { closed }: { closed: boolean },
): { parameters: Json } | { problem: string } {
  if (!isObject(schema)) return { problem: "must be an object schema" };
  try {
    const { $schema: _, $id: __, ...root } = schema;
    const parameters = new Inliner(root, closed).inline(root, [], 0);
    if (parameters.type !== "object") return { problem: topProblem(parameters) };
    const keyword = ["anyOf", "oneOf", "allOf", "not", "enum"].find((one) => one in parameters);
    if (keyword !== undefined) {
      return { problem: `must not have "${keyword}" at the top: providers refuse it` };
    }
    const chars = JSON.stringify(parameters).length;
    if (chars > MAX_SCHEMA_CHARS) {
      return { problem: `must have at most ${MAX_SCHEMA_CHARS} characters of JSON Schema` };
    }
    return { parameters: { ...parameters, properties: parameters.properties ?? {} } };
  } catch (error) {
    if (error instanceof RefusedSchema) return { problem: error.message };
    throw error;
  }
}

function topProblem(schema: Json): string {
  return "anyOf" in schema || "oneOf" in schema
    ? "must be an object schema: providers refuse a union at the top. Put the union into a property"
    : "must be an object schema, such as z.object({})";
}

class RefusedSchema extends Error {}

/** Puts what a `$ref` names in its place. */
class Inliner {
  readonly #root: Json;
  readonly #closed: boolean;
  #nodes = 0;

  constructor(root: Json, closed: boolean) {
    this.#root = root;
    this.#closed = closed;
  }

  /** `refs`: the references that led here, to find a circle. */
  inline(schema: Json, refs: readonly string[], depth: number, isPart = false): Record<string, unknown> {
    // References may multiply: a few lines of JSON could become gigabytes.
    if (++this.#nodes > MAX_SCHEMA_CHARS / 4 || depth > MAX_DEPTH) {
      throw new RefusedSchema("must be a smaller schema: it is too large or too deep");
    }
    const { $ref: ref, $defs: _, definitions: __, ...own } = schema;
    if (ref !== undefined) {
      if (typeof ref !== "string" || !ref.startsWith("#")) {
        throw new RefusedSchema('must not refer to other documents ("$ref")');
      }
      if (refs.includes(ref) || ref === "#") {
        throw new RefusedSchema('must not be recursive ("$ref"): providers refuse it');
      }
      return { ...this.inline(this.#target(ref), [...refs, ref], depth + 1, isPart), ...own };
    }
    const inner = (value: unknown, isPartOfAll = false): unknown =>
      isObject(value) ? this.inline(value, refs, depth + 1, isPartOfAll) : value;
    const result: Record<string, unknown> = { ...own };
    for (const keyword of ONE) if (keyword in own) result[keyword] = inner(own[keyword]);
    for (const keyword of LIST) {
      const list = own[keyword];
      if (Array.isArray(list)) {
        result[keyword] = list.map((item: unknown) => inner(item, keyword === "allOf"));
      }
    }
    for (const keyword of NAMED) {
      const named = own[keyword];
      if (!isObject(named)) continue;
      if (keyword === "properties") checkNames(Object.keys(named));
      result[keyword] = Object.fromEntries(
        Object.entries(named).map(([name, value]) => [name, inner(value)]),
      );
    }
    // The parts of an intersection would exclude each other's properties.
    if (this.#closed && own.type === "object" && "properties" in own && !isPart) {
      result.additionalProperties ??= false;
    }
    return result;
  }

  #target(ref: string): Json {
    let target: unknown = this.#root;
    for (const step of ref.split("/").slice(1)) {
      const name = step.replaceAll("~1", "/").replaceAll("~0", "~");
      target = isObject(target) && Object.hasOwn(target, name) ? target[name] : undefined;
    }
    if (!isObject(target)) throw new RefusedSchema('has a "$ref" to something that is not there');
    return target;
  }
}

function checkNames(names: readonly string[]): void {
  const bad = names.find((name) => !PROPERTY_NAME.test(name));
  if (bad === undefined) return;
  throw new RefusedSchema(
    `has a property ${
      JSON.stringify(bad.slice(0, 64))
    }: providers accept letters, digits, _ . and - (at most 64)`,
  );
}

/** Whether it is an object of JSON: neither null nor a list. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
