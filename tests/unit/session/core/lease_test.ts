/** The table of the lease, cell by cell: written again by hand, so that a mistake in it is detected. */

import assert from "node:assert/strict";
import {
  LEASE_MARGIN_MS,
  LEASE_TRANSITIONS,
  type LeaseName,
  type LeaseSignal,
  type LeaseView,
  stepLease,
} from "../../../../supabase/functions/_shared/session/core/lease.ts";

const NOW = 10_000;
const STATES: Record<LeaseName, LeaseView> = {
  free: { name: "free", epoch: 4 },
  claiming: { name: "claiming", epoch: 4 },
  held: { name: "held", epoch: 4, renewedAt: 9000 },
  other: { name: "other", epoch: 4, until: 12_000 },
  in_doubt: { name: "in_doubt", epoch: 4, retryAt: 11_000 },
};

const answered = (holder: "self" | "other" | "nobody", epoch: number, claimed: boolean): LeaseSignal => ({
  kind: "answered",
  lease: { epoch, holder, leftMs: holder === "nobody" ? 0 : 3000 },
  claimed,
  sentAt: 9900,
  now: NOW,
});
const read = (holder: "self" | "other" | "nobody", epoch: number): LeaseSignal => ({
  kind: "read",
  lease: { epoch, holder, leftMs: holder === "nobody" ? 0 : 3000 },
  now: NOW,
});

const SIGNALS = {
  claim: { kind: "claim" },
  "answered: ours, claimed": answered("self", 5, true),
  "answered: ours, same epoch": answered("self", 4, false),
  "answered: other": answered("other", 5, true),
  "answered: nobody": answered("nobody", 5, false),
  lost: { kind: "lost" },
  rejected: { kind: "rejected" },
  doubt: { kind: "doubt", retryAt: 10_500 },
  "read: other": read("other", 5),
  "read: other, older": read("other", 3),
  "read: nobody": read("nobody", 4),
  "read: ours": read("self", 4),
  lapsed: { kind: "lapsed" },
} as const satisfies Record<string, LeaseSignal>;

/** `never`: the core does not send such a write in this state, so it throws. */
const TABLE: Record<LeaseName, Record<keyof typeof SIGNALS, LeaseName | "never">> = {
  free: {
    claim: "claiming",
    "answered: ours, claimed": "held",
    // The answer contains turns that are not known here: the lease is claimed again.
    "answered: ours, same epoch": "free",
    "answered: other": "other",
    "answered: nobody": "free",
    lost: "never",
    rejected: "free",
    doubt: "in_doubt",
    "read: other": "other",
    "read: other, older": "free",
    "read: nobody": "free",
    "read: ours": "free",
    lapsed: "free",
  },
  claiming: {
    claim: "never",
    "answered: ours, claimed": "held",
    "answered: ours, same epoch": "free",
    "answered: other": "other",
    "answered: nobody": "free",
    lost: "never",
    rejected: "free",
    doubt: "in_doubt",
    "read: other": "claiming",
    "read: other, older": "claiming",
    "read: nobody": "claiming",
    "read: ours": "claiming",
    lapsed: "claiming",
  },
  held: {
    claim: "held",
    "answered: ours, claimed": "held",
    "answered: ours, same epoch": "held",
    "answered: other": "other",
    "answered: nobody": "free",
    lost: "free",
    rejected: "held",
    doubt: "in_doubt",
    "read: other": "held",
    "read: other, older": "held",
    "read: nobody": "held",
    "read: ours": "held",
    lapsed: "held",
  },
  other: {
    claim: "claiming",
    "answered: ours, claimed": "held",
    "answered: ours, same epoch": "free",
    "answered: other": "other",
    "answered: nobody": "free",
    lost: "never",
    rejected: "other",
    doubt: "in_doubt",
    "read: other": "other",
    "read: other, older": "other",
    "read: nobody": "free",
    "read: ours": "other",
    lapsed: "free",
  },
  in_doubt: {
    claim: "in_doubt",
    "answered: ours, claimed": "held",
    "answered: ours, same epoch": "free",
    "answered: other": "other",
    "answered: nobody": "free",
    lost: "never",
    rejected: "in_doubt",
    doubt: "in_doubt",
    "read: other": "in_doubt",
    "read: other, older": "in_doubt",
    "read: nobody": "in_doubt",
    "read: ours": "in_doubt",
    lapsed: "in_doubt",
  },
};

for (const [name, state] of Object.entries(STATES)) {
  Deno.test(`LEASE_TRANSITIONS: ${name}`, () => {
    for (const [signal, expected] of Object.entries(TABLE[state.name])) {
      const given = SIGNALS[signal as keyof typeof SIGNALS];
      if (expected === "never") assert.throws(() => stepLease(state, given), TypeError, signal);
      else assert.equal(stepLease(state, given).name, expected, signal);
    }
  });
}

Deno.test("LEASE_TRANSITIONS has a cell for each state and signal", () => {
  const kinds = new Set(Object.values(SIGNALS).map(({ kind }) => kind));
  for (const row of Object.values(LEASE_TRANSITIONS)) assert.deepEqual(new Set(Object.keys(row)), kinds);
});

Deno.test("stepLease: what an answer says of the time", () => {
  assert.deepEqual(stepLease(STATES.claiming, SIGNALS["answered: other"]), {
    name: "other",
    epoch: 5,
    until: NOW + 3000 + LEASE_MARGIN_MS,
  });
  assert.deepEqual(stepLease(STATES.claiming, SIGNALS["answered: ours, claimed"]), {
    name: "held",
    epoch: 5,
    renewedAt: 9900,
  });
});
