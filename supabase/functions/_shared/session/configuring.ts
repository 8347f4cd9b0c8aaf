/** The command `configure`: the default options of queries, and whether a connection gets deltas. */

import type { ActivityReporter } from "../activity/reporter.ts";
import type { SessionRecord } from "../ports/session_store.ts";
import type { CommandArgs } from "../protocol/client_frames.ts";
import type { ConfiguredEvent } from "../protocol/log_event.ts";
import type { Audience } from "./audience.ts";
import type { SessionEvent } from "./core/event.ts";
import { checkOptions } from "./query_admission.ts";
import type { Reader } from "./reader.ts";
import type { SessionSettings } from "./session_options.ts";

export interface ConfiguringOptions {
  record: SessionRecord;
  settings: SessionSettings;
  activity: ActivityReporter;
  audience: Audience;
  newId(): string;
  /** Writes the event to the log. Rejects as the log does. */
  append(event: ConfiguredEvent): Promise<unknown>;
  /** Hands an event to the session. */
  take(event: SessionEvent): void;
}

export class Configuring {
  readonly #options: ConfiguringOptions;
  /** Whether a connection wants deltas, to be changed together with a `configured` event, by its key. */
  readonly #waiting = new Map<string, () => void>();

  constructor(options: ConfiguringOptions) {
    this.#options = options;
  }

  /** See {@linkcode Session.configure}. */
  async configure(
    reader: Reader,
    { stream, ...options }: CommandArgs<"configure">,
    commandId: string | undefined,
  ): Promise<void> {
    const { record, settings, activity, audience, newId, append } = this.#options;
    checkOptions(options, settings);
    const event: ConfiguredEvent = {
      kind: "configured",
      configId: newId(),
      connectionId: reader.id,
      options,
      ...(commandId !== undefined && { commandId }),
    };
    if (Object.keys(options).length === 0) {
      this.#setDeltas(reader, stream);
      reader.send(audience.configuredFrame(reader, commandId));
    } else {
      this.#waiting.set(event.configId, () => this.#setDeltas(reader, stream));
      await append(event).finally(() => this.#waiting.delete(event.configId));
    }
    activity.session(record, "updated");
  }

  /** The log has the event. */
  learnt({ configId }: ConfiguredEvent): void {
    this.#waiting.get(configId)?.();
    this.#waiting.delete(configId);
  }

  #setDeltas(reader: Reader, wantsDeltas: boolean | undefined): void {
    if (wantsDeltas === undefined) return;
    reader.wantsDeltas = wantsDeltas;
    this.#options.take({ kind: "set_deltas", connectionId: reader.id, wantsDeltas });
  }
}
