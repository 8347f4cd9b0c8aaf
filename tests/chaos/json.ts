/** JSON whose objects are written with sorted fields: PostgreSQL's `jsonb` does not keep their order. */

export function sortedJson(value: unknown): string {
  return JSON.stringify(
    value,
    (_, part: unknown) =>
      typeof part === "object" && part !== null && !Array.isArray(part)
        ? Object.fromEntries(Object.entries(part).toSorted(([one], [other]) => one < other ? -1 : 1))
        : part,
  ) ?? "null";
}

export function equalJson(one: unknown, other: unknown): boolean {
  return sortedJson(one) === sortedJson(other);
}
