/** How long a run stood still: turns were open, the database was undisturbed, and no turn ended. */

import type { ConversationRecord, Span } from "./records.ts";

/**
 * The longest time between two consecutive ends during which some turn was open throughout, minus the time of
 * `outages`. In milliseconds; 0 if there was none.
 */
export function longestStandstillMs(
  conversations: readonly Pick<ConversationRecord, "queries">[],
  outages: readonly Span[],
): number {
  const turns = conversations.flatMap(({ queries }) =>
    queries.flatMap(({ sentAt, endedAt, refused }) =>
      endedAt === undefined || refused !== undefined ? [] : [{ from: sentAt, to: endedAt }]
    )
  );
  const ends = turns.map(({ to }) => to).toSorted((one, other) => one - other);
  let longestMs = 0;
  for (const [index, to] of ends.entries()) {
    const from = ends[index - 1];
    if (from === undefined || to - from <= longestMs) continue;
    if (!turns.some((turn) => turn.from <= from && turn.to >= to)) continue;
    for (const well of without({ from, to }, outages)) longestMs = Math.max(longestMs, well.to - well.from);
  }
  return longestMs;
}

/** The parts of a span outside of others. */
function without(span: Span, others: readonly Span[]): Span[] {
  return others.reduce<Span[]>(
    (left, { from, to }) =>
      left.flatMap((piece) =>
        [{ from: piece.from, to: Math.min(piece.to, from) }, { from: Math.max(piece.from, to), to: piece.to }]
          .filter((rest) => rest.to > rest.from)
      ),
    [span],
  );
}
