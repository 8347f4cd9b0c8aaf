/**
 * The session's lease as this worker last saw it.
 *
 * `free → claiming → held → free`, or `other` while another worker has it. After a write whose outcome nobody knows the
 * lease is `in_doubt` until a fence is answered. The table is total: a pair that cannot happen is an assertion.
 */

import type { Lease } from "../../ports/event_log.ts";

export type LeaseView =
  /** Not held, as far as this worker knows. */
  | { name: "free"; epoch: number }
  /** A claim is in flight. */
  | { name: "claiming"; epoch: number }
  /** `renewedAt`: when the newest write that renewed it was sent, in milliseconds since the epoch. */
  | { name: "held"; epoch: number; renewedAt: number }
  /** `until`: when it ends unless the other worker renews it, in milliseconds since the epoch. */
  | { name: "other"; epoch: number; until: number }
  /** The outcome of a write is unknown. A fence is sent at `retryAt` unless one is in flight. */
  | { name: "in_doubt"; epoch: number; retryAt: number };

export type LeaseName = LeaseView["name"];

export type LeaseSignal =
  /** A write with a claim is sent. */
  | { kind: "claim" }
  /** A write was committed. `claimed`: it had a claim, so its answer gives the turns that come with the lease. */
  | { kind: "answered"; lease: Lease; claimed: boolean; sentAt: number; now: number }
  /** A write was rejected because another worker has taken the lease. */
  | { kind: "lost" }
  /** A write was rejected for any other reason. */
  | { kind: "rejected" }
  /** The outcome of a write is unknown. */
  | { kind: "doubt"; retryAt: number }
  /** A page of the log was read. It may be older than the answer to a write. */
  | { kind: "read"; lease: Lease; now: number }
  /** The other worker's lease has expired by this worker's clock. */
  | { kind: "lapsed" };

/** A lease counts as expired this long after its end, so that it has expired at the store too. */
export const LEASE_MARGIN_MS = 20;

type Step = (lease: LeaseView, signal: LeaseSignal) => LeaseView;
type Row = Readonly<Record<LeaseSignal["kind"], Step>>;

const stay: Step = (lease) => lease;
const doubt: Step = ({ epoch }, signal) =>
  signal.kind === "doubt" ? { name: "in_doubt", epoch, retryAt: signal.retryAt } : impossible(signal);
const free: Step = ({ epoch }) => ({ name: "free", epoch });
const claim: Step = ({ epoch }) => ({ name: "claiming", epoch });
const never: Step = (_, signal) => impossible(signal);

/** The answer to a write. Answers come in the order of the writes, so this is the newest state. */
const answered: Step = (before, signal) => {
  if (signal.kind !== "answered") return impossible(signal);
  const { lease: { epoch, holder, leftMs }, claimed, sentAt, now } = signal;
  if (holder === "nobody") return { name: "free", epoch };
  if (holder === "other") return { name: "other", epoch, until: now + leftMs + LEASE_MARGIN_MS };
  const isRenewed = before.name === "held" && before.epoch === epoch;
  // Held from a claim whose answer was lost, so its open turns are unknown: claim it again.
  return claimed || isRenewed ? { name: "held", epoch, renewedAt: sentAt } : { name: "free", epoch };
};

/** A read does not prove that the lease is held here, and may be older than what is known. */
const read: Step = (before, signal) => {
  if (signal.kind !== "read") return impossible(signal);
  const { lease: { epoch, holder, leftMs }, now } = signal;
  if (epoch < before.epoch || holder === "self") return before;
  if (holder === "nobody") return { name: "free", epoch };
  return { name: "other", epoch, until: now + leftMs + LEASE_MARGIN_MS };
};

/** The transition table. `never`: the core sends no such write in this state. */
export const LEASE_TRANSITIONS: Readonly<Record<LeaseName, Row>> = {
  free: { claim, answered, lost: never, rejected: stay, doubt, read, lapsed: stay },
  claiming: { claim: never, answered, lost: never, rejected: free, doubt, read: stay, lapsed: stay },
  held: { claim: stay, answered, lost: free, rejected: stay, doubt, read: stay, lapsed: stay },
  other: { claim, answered, lost: never, rejected: stay, doubt, read, lapsed: free },
  // The fence is a claim whose answer settles everything. Until then the lease stays in doubt.
  in_doubt: { claim: stay, answered, lost: never, rejected: stay, doubt, read: stay, lapsed: stay },
};

export function stepLease(lease: LeaseView, signal: LeaseSignal): LeaseView {
  return LEASE_TRANSITIONS[lease.name][signal.kind](lease, signal);
}

function impossible(signal: LeaseSignal): never {
  throw new TypeError(`Cannot step lease: "${signal.kind}" does not happen in this state`);
}
