/** The events after which a connection may be dead, or may be possible again. */

import type { WakeSource } from "./ports.ts";

const WINDOW_EVENTS = ["online", "pageshow"];
/** `resume` ends the freezing of a page in the background. */
const DOCUMENT_EVENTS = ["visibilitychange", "resume"];

export class WakeListener {
  readonly #source: WakeSource;
  readonly #onWake: () => void;
  /** A page that is hidden changes its visibility too. */
  readonly #onDocument = (): void => {
    if (!this.isHidden) this.#onWake();
  };

  constructor(source: WakeSource, onWake: () => void) {
    this.#source = source;
    this.#onWake = onWake;
  }

  get isHidden(): boolean {
    return this.#source.document?.visibilityState === "hidden";
  }

  start(): void {
    const { document } = this.#source;
    for (const type of WINDOW_EVENTS) this.#source.addEventListener?.(type, this.#onWake);
    for (const type of DOCUMENT_EVENTS) document?.addEventListener?.(type, this.#onDocument);
  }

  stop(): void {
    const { document } = this.#source;
    for (const type of WINDOW_EVENTS) this.#source.removeEventListener?.(type, this.#onWake);
    for (const type of DOCUMENT_EVENTS) document?.removeEventListener?.(type, this.#onDocument);
  }
}
