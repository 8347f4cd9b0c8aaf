/** Several messages of one topic as one broadcast. */

import type { RelayListener, RelayMessage } from "../ports/relay.ts";

/** The event name of such a broadcast. Reserved. */
const BATCH = "relay_batch";

/** Bytes of a batch beside its messages and the commas between them: `{"messages":[]}`. */
export const BATCH_FRAME_BYTES = 15;

/** Bytes of a message in it beside its two values: `{"event":,"payload":}`. */
export const MESSAGE_FRAME_BYTES = 21;

/** A single message stays as it is, so that listeners that do not know batches understand it as well. */
export function toBatch(messages: readonly RelayMessage[]): RelayMessage {
  const [only] = messages;
  if (messages.length === 1 && only !== undefined) return only;
  return { event: BATCH, payload: { messages: messages.map(({ event, payload }) => ({ event, payload })) } };
}

/** The messages in a batch, in order; for a message that is not a batch, the message itself. Invalid ones are left out. */
export function fromBatch(message: RelayMessage): readonly RelayMessage[] {
  if (message.event !== BATCH) return [message];
  const { payload } = message;
  const messages = isObject(payload) ? payload.messages : undefined;
  return Array.isArray(messages) ? messages.filter(isMessage) : [];
}

/** A listener that hears each message of a batch by itself, until `isEnded` says so. */
export function unbatching(listener: RelayListener, isEnded: () => boolean): RelayListener {
  return {
    onMessage(message): void {
      for (const single of fromBatch(message)) {
        if (isEnded()) return;
        listener.onMessage(single);
      }
    },
    onGap: () => listener.onGap?.(),
  };
}

function isMessage(value: unknown): value is RelayMessage {
  return isObject(value) && typeof value.event === "string";
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
