/** Sessions that are being taken out of the store: several wishes at once are one removal. */

import type { Session } from "./session.ts";

interface Removal {
  removing: Promise<void>;
  onRemoved: (() => void)[];
}

export class Removals {
  readonly #underWay = new Map<Session, Removal>();

  has(session: Session): boolean {
    return this.#underWay.has(session);
  }

  /**
   * Does `takeOut`, unless it is being done. `onRemoved` is called by {@linkcode done}, or not at all where the store refuses: then
   * this rejects as `takeOut` does, and the next call does it again.
   */
  async start(session: Session, takeOut: () => Promise<void>, onRemoved: () => void): Promise<void> {
    let removal = this.#underWay.get(session);
    if (removal === undefined) {
      const removing = takeOut().finally(() => this.#underWay.delete(session));
      this.#underWay.set(session, removal = { removing, onRemoved: [] });
    }
    removal.onRemoved.push(onRemoved);
    await removal.removing;
  }

  /** The session is out of the store: calls all that wait for it. */
  done(session: Session): void {
    for (const onRemoved of this.#underWay.get(session)?.onRemoved.splice(0) ?? []) onRemoved();
  }
}
