/** Counters of one worker, in the text format that Prometheus reads. */

const PREFIX = "agent_websocket_";

/** What is counted, with its one label where it has one, and the help line. */
const COUNTERS = {
  connections_opened_total: { help: "Connections that were opened" },
  connections_closed_total: { label: "code", help: "Connections that were closed, by close code" },
  frames_received_total: { help: "Frames that clients sent" },
  deltas_sent_total: { help: "Delta frames that were sent" },
  reasoning_sent_total: { help: "Reasoning frames that were sent" },
  errors_sent_total: { label: "code", help: "Error frames that were sent, by code" },
  turns_total: { label: "outcome", help: "Turns that ended, by outcome" },
  turns_taken_over_total: {
    label: "how",
    help: "Turns of other workers that were taken over, by how: run, cancel or interrupt",
  },
  tool_calls_total: {
    label: "outcome",
    help: "Calls of tools that ended, by outcome: ok, error, unknown, or refused before they ran",
  },
  tool_waits_total: {
    label: "for",
    help: "Calls of tools that had to wait, by what for: approval, client or user",
  },
  approvals_total: {
    label: "verdict",
    help: "Decisions about calls, by verdict: approve, modify, reject or expired; without those over HTTP",
  },
  model_calls_in_vain_total: {
    help: "Calls of the model that were given up because another worker answers the query",
  },
  model_attempts_total: { label: "outcome", help: "Requests that reached the provider, by how they ended" },
  tokens_total: {
    label: "kind",
    help: "Tokens of all these requests, by kind; estimated where the provider does not report them",
  },
  cost_usd_total: { help: "US dollars that the provider reported for all these requests" },
  sessions_opened_total: { label: "how", help: "Sessions that were opened: created or resumed" },
  sessions_evicted_total: {
    label: "why",
    help: "Sessions that ended to make room, by what there was no room in: sessions or memory",
  },
  activity_watchers_opened_total: { help: "Connections to the live-activity stream that were opened" },
  activity_watchers_closed_total: {
    label: "code",
    help: "Connections to the live-activity stream that were closed, by close code",
  },
  relay_forged_total: {
    label: "reason",
    help: "Messages of the relay that were dropped, by reason: forged, stale or repeated",
  },
  relay_posts_total: { label: "outcome", help: "Posts to the relay, by outcome: taken, refused or failed" },
  relay_merged_total: { help: "Messages that needed no post of their own" },
  relay_dropped_total: { help: "Messages that were given up, as what they told is found elsewhere" },
  activity_events_failed_total: { help: "Activity events that could not be encoded" },
} as const satisfies Record<string, { label?: string; help: string }>;

export type CounterName = keyof typeof COUNTERS;

export interface Gauge {
  name: string;
  help: string;
  value: number;
}

export class Metrics {
  readonly #counts = new Map<CounterName, Map<string, number>>();

  /** Adds `amount` (default 1) to a counter; `labelValue` for one that has a label. */
  count(name: CounterName, labelValue: string | number = "", amount = 1): void {
    let byLabel = this.#counts.get(name);
    if (byLabel === undefined) this.#counts.set(name, byLabel = new Map());
    const key = String(labelValue);
    byLabel.set(key, (byLabel.get(key) ?? 0) + amount);
  }

  /** Everything counted, and the gauges given, in Prometheus' text format 0.0.4. */
  render(gauges: readonly Gauge[]): string {
    const lines: string[] = [];
    for (const { name, help, value } of gauges) {
      lines.push(
        `# HELP ${PREFIX}${name} ${help}`,
        `# TYPE ${PREFIX}${name} gauge`,
        `${PREFIX}${name} ${value}`,
      );
    }
    for (
      const [name, counter] of Object.entries(COUNTERS) as [CounterName, { label?: string; help: string }][]
    ) {
      lines.push(`# HELP ${PREFIX}${name} ${counter.help}`, `# TYPE ${PREFIX}${name} counter`);
      const byLabel = this.#counts.get(name);
      if (byLabel === undefined) {
        if (counter.label === undefined) lines.push(`${PREFIX}${name} 0`);
        continue;
      }
      for (const [key, value] of byLabel) {
        const labels = counter.label === undefined ? "" : `{${counter.label}=${JSON.stringify(key)}}`;
        lines.push(`${PREFIX}${name}${labels} ${value}`);
      }
    }
    return lines.join("\n") + "\n";
  }
}
